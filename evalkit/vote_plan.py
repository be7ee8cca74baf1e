"""What a study's design can show, and what it would take: votes, prompts, annotators, hours."""

from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis.alikeness import Alikeness, of_pilot
from evalkit.analysis.power import (
    ALPHA,
    METHOD,
    ExactVotes,
    Power,
    annotators_needed,
    exact_votes,
    power_of,
    power_table,
    prompts_needed,
    votes_needed,
)
from evalkit.design import matchups
from evalkit.errors import EvalkitError
from evalkit.generation.drawn import draw
from evalkit.study import Study
from evalkit.study_folder import StudyFolder
from evalkit.vote_files import ENDINGS, read_votes
from evalkit.wording import counted

_VOTES = (1, 2, 4, 8, 16)  # on each prompt, in the table
_TIMES = (0.25, 0.5, 1, 2, 4)  # as many annotators, in the table


@dataclass(frozen=True)
class Wish:
    """What should be seen: a true win rate, with which power, by how many annotators.

    `annotators` is None for as many as the design's trials need; `seconds_per_vote` is what one
    trial takes a person, with looking and pressing.
    """

    win_rate: float = 0.6
    power: float = 0.8
    annotators: int | None = None
    seconds_per_vote: float = 6.0


@dataclass(frozen=True)
class Effort:
    """A design and what it costs: `power` is that of each pair of models on each question.

    `trials` are all of the study, checks and repeats too; `hours` what they take people in all.
    """

    power: Power
    trials: int
    hours: float


@dataclass(frozen=True)
class VotePlan:
    """The study as it is designed, the least changes that reach the power, and a table of others.

    `family` pairs of models are tested on each question, each at `alpha`, .05 over their number:
    Holm's correction asks for that of the first. `independent` is what votes that have nothing in
    common would need. A change is None where it cannot reach the power alone.
    """

    wish: Wish
    alike: Alikeness
    simulated_pilot: bool
    questions: int
    family: int
    alpha: float
    independent: ExactVotes
    designed: Effort
    more_votes: Effort | None
    more_prompts: Effort | None
    more_annotators: Effort | None
    table: pd.DataFrame

    @property
    def frame(self) -> pd.DataFrame:
        """The table: a row per number of annotators and of votes on each prompt, with hours."""
        return self.table

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON; what is not known is None."""
        content = asdict(self) | {"method": METHOD}
        table = self.table.astype(object).where(self.table.notna(), None)
        return content | {"table": table.to_dict("records")}


def plan_votes(folder: StudyFolder, wish: Wish, alike: Alikeness, simulated: bool) -> VotePlan:
    """The plan for the study in this folder, before or after its images are made.

    EstimateError on a wish out of its range; StudyError where the prompts cannot be read.
    """
    study = folder.study
    n_prompts = len(draw(folder).table)
    if n_prompts < 2:
        raise EvalkitError(
            f"plan: {folder.root} has one prompt, which gives no interval; allowed are two or "
            "more; draw more prompts"
        )
    votes = study.design.votes_per_pair * len(study.images.seeds)  # on each prompt
    family = len(matchups(study))
    alpha = ALPHA / family
    independent = exact_votes(wish.win_rate, wish.power, alpha)
    people = wish.annotators or max(votes, _annotators(study, n_prompts, votes))
    if votes > people:
        raise EvalkitError(
            f"plan: each prompt is to have {votes} votes on each pair (votes_per_pair x seeds), by "
            f"{people} annotators; allowed are at least {votes}; ask for more annotators "
            "or lower design.votes_per_pair"
        )

    def effort(found: Power | None) -> Effort | None:
        if found is None:
            return None
        trials = _trials(study, found.n)
        return Effort(found, trials, trials * wish.seconds_per_vote / 3600)

    asked = (wish.win_rate, wish.power)
    table = power_table(
        wish.win_rate,
        n_prompts,
        alike,
        tuple(sorted({max(2, round(people * times)) for times in _TIMES})),
        tuple(sorted({*_VOTES, votes})),
        alpha,
    )
    table["hours"] = [effort(Power(**row)).hours for row in table.to_dict("records")]
    return VotePlan(
        wish=wish,
        alike=alike,
        simulated_pilot=simulated,
        questions=len(study.questions),
        family=family,
        alpha=alpha,
        independent=independent,
        designed=effort(power_of(wish.win_rate, n_prompts, votes, people, alike, alpha)),
        more_votes=effort(votes_needed(*asked, n_prompts, people, alike, alpha)),
        more_prompts=effort(prompts_needed(*asked, votes, people, alike, alpha)),
        more_annotators=effort(annotators_needed(*asked, n_prompts, votes, alike, alpha)),
        table=table,
    )


def read_pilot(path: Path) -> tuple[Alikeness, bool]:
    """How alike the votes of a pilot are, and whether any of them is simulated.

    `path` is a study with an analysis, or a file of votes. EvalkitError where it is neither.
    """
    file = path
    if path.is_dir():
        file = StudyFolder(path).analysis / "comparisons.csv"
        if not file.is_file():
            raise EvalkitError(
                f"{path}: no analysis there; a pilot is a study that was analysed, or a file of "
                f"votes; run: evalkit analyze {path}"
            )
    elif path.suffix not in ENDINGS:
        raise EvalkitError(
            f"--pilot: {path} is neither a study's folder nor a file of votes "
            f"({', '.join(ENDINGS)}); name one of these"
        )
    comparisons = read_votes(file)
    return of_pilot(comparisons), tables.is_simulated(comparisons)


def plan_lines(plan: VotePlan) -> list[str]:
    """The plan in words, a line each; the table is not among them."""
    wish, built = plan.wish, plan.designed
    of = f"each of {counted(plan.family, 'pair')} of models on each of {plan.questions} questions"
    lines = [
        f"To see a win rate of {100 * wish.win_rate:g}% with power {wish.power:.0%} on {of} "
        f"(alpha {plan.alpha:.4g}: .05 by Holm's first step)",
        f"Votes alike on a prompt {plan.alike.prompt:.3f}, of an annotator "
        f"{plan.alike.annotator:.3f} ({plan.alike.source})",
        f"Independent votes would be enough with {plan.independent.stable:,} on each pair (exact "
        "binomial test)",
        f"As designed: {_effort(built, wish)}",
    ]
    if plan.simulated_pilot:
        lines.insert(0, f"{tables.SIMULATED}: the pilot is simulated, and so is how alike they are")
    if built.power.power >= wish.power:
        return [*lines, "That is enough."]
    changes = {
        "more votes on each prompt": plan.more_votes,
        "more prompts": plan.more_prompts,
        "the same votes by more annotators": plan.more_annotators,
    }
    for name, found in changes.items():
        said = _effort(found, wish) if found else "cannot reach it alone"
        lines.append(f"With {name}: {said}")
    if not any(changes.values()):
        lines.append("None of these alone is enough: take more annotators, and see the table")
    return lines


def _effort(effort: Effort, wish: Wish) -> str:
    power = effort.power
    return (
        f"{counted(power.n_prompts, 'prompt')} x {counted(power.votes_per_prompt, 'vote')} by "
        f"{counted(power.n_annotators, 'annotator')} are {power.n:,} votes on a pair, worth "
        f"{power.n_effective:,.0f}: power {power.power:.0%}, interval +-{power.half_width:.3f}; "
        f"{effort.trials:,} trials, {effort.hours:,.1f} hours ({wish.seconds_per_vote:g} s a trial)"
    )


def _trials(study: Study, n: int) -> int:
    """All trials of a study with n main votes on each pair and question."""
    design = study.design
    main = n * len(matchups(study)) * len(study.questions)
    return ceil(main / (1 - design.attention_share - design.repeat_share))


def _annotators(study: Study, n_prompts: int, votes: int) -> int:
    return max(2, ceil(_trials(study, n_prompts * votes) / study.design.trials_per_annotator))
