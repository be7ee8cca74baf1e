"""A study's votes simulated from stated strengths: refused beside people, said wherever seen."""

import json
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.collection import open_collection
from evalkit.early_looks import planned_votes
from evalkit.errors import EvalkitError, StudyError
from evalkit.files import write_json
from evalkit.lock import open_votes
from evalkit.simulate import Population, Strengths, Way, parse_strengths, plant
from evalkit.simulated_sessions import make_annotator, simulate_sessions
from evalkit.store import Store, store_exists
from evalkit.study import Study
from evalkit.study_folder import StudyFolder
from evalkit.tables import SIMULATED, TRIAL_KINDS
from evalkit.wording import counted

_EVENT = "simulate"  # in the log
_COPY = "simulate in a copy of the study without its votes and invitations"
_OTHER = {
    "strengths": "other strengths",
    "population": "another population",
    "seed": "another seed",
}


@dataclass(frozen=True)
class Planted:
    """What votes are simulated from: strengths by question and model (log-odds), who votes, a
    seed."""

    strengths: Strengths
    population: Population
    seed: int = 0

    def stated(self) -> dict[str, Any]:
        """As simulation.json, the log and the report say it."""
        return {
            "votes": f"{SIMULATED}: no person voted here",
            "strengths": self.strengths,
            "population": asdict(self.population),
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Simulation:
    """What simulated annotators did in a study, and what was planted in it.

    `annotators` of them sat and gave `votes`, by kind (main, repeat, attention, practice); `given`
    of the `planned` main votes are there. `minutes` is the time that their response times make
    together: people would need as long, and besides that time to read and rest. `straight_lining`
    and `speeding` are the ids of those who never look.
    """

    study: str
    annotators: int
    votes: dict[str, int]
    planned: int
    given: int
    minutes: float
    straight_lining: tuple[str, ...]
    speeding: tuple[str, ...]
    planted: Planted

    @property
    def is_complete(self) -> bool:
        """Whether every pair has its votes."""
        return self.given == self.planned

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON, with `vote_source` = SIMULATED VOTES."""
        return {"vote_source": SIMULATED, **asdict(self), "planted": self.planted.stated()}


def simulate_study(
    folder: StudyFolder,
    planted: Planted,
    now: str,
    annotators: int | None = None,
    on_votes: Callable[[int], None] = lambda _: None,
) -> Simulation:
    """Let simulated annotators, at most so many, vote in the study until every pair has its votes.

    What was planted is written into simulation.json and the store's log before the first vote; a
    call after a stop, or with more annotators, goes on. `on_votes` gets the number of new votes
    after each annotator. StudyError where people vote or are invited, or where votes are there that
    were simulated otherwise; nothing is written then.
    """
    if annotators is not None and annotators < 1:
        raise EvalkitError(f"simulate: annotators = {annotators}; allowed is 1 or more; raise it")
    stated = planted.stated()
    if store_exists(folder.store_address):
        with closing(open_votes(folder)) as store:
            _require_no_people(folder, store)
            _require_alike(folder, store, stated)
    with closing(open_collection(folder, now)) as store:
        if not store.has_votes():
            write_json(folder.simulation_file, stated)
            store.note(now, "coordinator", _EVENT, f"{SIMULATED} {json.dumps(stated)}")
        images, population = folder.read_images(), planted.population
        utilities = plant(planted.strengths, images, population.prompt_sd, planted.seed)
        simulate_sessions(
            folder, store, utilities, population, planted.seed, now, on_votes, annotators
        )
        return _simulation(folder, store, planted)


def state_strengths(options: Sequence[str], file: Path | None, study: Study) -> Strengths:
    """The strengths stated by options such as `sdxl=0.5`, or in a TOML file; 0 where by neither."""
    if file is None:
        return _given_strengths(options, study)
    if options:
        raise EvalkitError("simulate: --strength and --strengths exclude each other; leave one out")
    return read_strengths(file, study)


def read_strengths(path: Path, study: Study) -> Strengths:
    """The strengths in a TOML file: numbers by model, or a table of them for each question."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise EvalkitError(
            f"{path}: no such file; give one with a line such as sdxl = 0.5 for each model"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EvalkitError(f"{path}: not valid TOML in UTF-8 ({error}); correct it") from None
    return _parsed(given, study, str(path))


def _given_strengths(options: Sequence[str], study: Study) -> Strengths:
    given: dict[str, float] = {}
    for option in options:
        model, equals, number = option.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = None
        if not equals or value is None:
            raise EvalkitError(
                f'simulate: --strength "{option}"; allowed is MODEL=NUMBER, in log-odds, such as '
                f"{study.model_names[0]}=0.5; correct it"
            )
        if model in given:
            raise EvalkitError(f"simulate: --strength names {model} twice; leave one out")
        given[model] = value
    return _parsed(given, study, "simulate: --strength")


def simulation_lines(done: Simulation) -> list[str]:
    """What was done and what was planted, in words, a line each."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in done.votes.items())
    each = f", {done.minutes / done.annotators:.1f} each" if done.annotators else ""
    population = asdict(done.planted.population)
    said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in population.items())
    lines = [
        f"{SIMULATED}: {counted(done.annotators, 'simulated annotator')} gave "
        f"{counted(sum(done.votes.values()), 'vote')} ({kinds}); "
        f"{done.given:,} of {done.planned:,} planned votes are there",
        f"Of people they would take {done.minutes:,.0f} minutes of voting{each}; reading and "
        "rests come on top",
        f"Planted, seed {done.planted.seed}: {said}",
    ]
    for question, strengths in done.planted.strengths.items():
        values = ", ".join(f"{model} {value:+g}" for model, value in strengths.items())
        lines.append(f"Planted strengths on {question} (log-odds): {values}")
    for name, ids in (("straight-line", done.straight_lining), ("speed", done.speeding)):
        if ids:
            lines.append(f"Planted annotators who {name}: {', '.join(ids)}")
    return lines


def _parsed(given: dict[str, Any], study: Study, where: str) -> Strengths:
    questions = [question.id for question in study.questions]
    return parse_strengths(given, questions, study.model_names, where)


def _require_no_people(folder: StudyFolder, store: Store) -> None:
    everybody = store.annotators()
    people = everybody[~everybody["simulated"].astype(bool)]
    if people.empty:
        return
    votes = int(people[["n_votes", "n_practice"]].to_numpy().sum())
    found = (
        f"holds {counted(votes, 'vote')} of people"
        if votes
        else f"has invited {len(people):,} " + ("person" if len(people) == 1 else "people")
    )
    raise StudyError(
        f"{folder.root}: {found}, and no simulated vote may stand beside theirs; {_COPY}"
    )


def _require_alike(folder: StudyFolder, store: Store, stated: dict[str, Any]) -> None:
    """Where there are votes, they were simulated from the same."""
    if not store.has_votes():
        return
    try:
        before = dict(json.loads(folder.simulation_file.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        raise StudyError(
            f"{folder.simulation_file}: is missing or not readable as JSON, and says what the "
            f"votes in the study were simulated from; put it back, or {_COPY}"
        ) from None
    changed = [other for name, other in _OTHER.items() if before.get(name) != stated[name]]
    if changed:
        raise StudyError(
            f"{folder.root}: holds votes that were simulated from {changed[0]} (see "
            f"simulation.json); give the same again to go on, or {_COPY}"
        )


def _simulation(folder: StudyFolder, store: Store, planted: Planted) -> Simulation:
    votes = store.votes().merge(store.trials()[["trial_id", "annotator_id", "kind"]], on="trial_id")
    sat = list(pd.unique(votes["annotator_id"]))
    ways = {
        annotator_id: make_annotator(folder, planted.population, planted.seed, number).way
        for number, annotator_id in enumerate(store.annotators()["annotator_id"], start=1)
        if annotator_id in sat
    }
    by_way = {
        way: tuple(annotator_id for annotator_id, found in ways.items() if found == way)
        for way in Way
    }
    progress, kinds = planned_votes(store), votes["kind"].value_counts()
    return Simulation(
        study=folder.study.name,
        annotators=len(sat),
        votes={kind: int(kinds[kind]) for kind in TRIAL_KINDS if kind in kinds},
        planned=progress.planned,
        given=progress.given,
        minutes=float(votes["response_ms"].sum() / 60_000),
        straight_lining=by_way[Way.STRAIGHT_LINES],
        speeding=by_way[Way.SPEEDS],
        planted=planted,
    )
