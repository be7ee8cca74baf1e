"""Everything a report is made of, read from the study folder and checked; nothing is computed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from evalkit import tables
from evalkit.analysis.exclusions import counted
from evalkit.early_looks import PlannedVotes, require_planned
from evalkit.errors import StudyError
from evalkit.exports.published import pseudonyms
from evalkit.files import read_bytes
from evalkit.lock import lock_facts, lock_hash, require_unchanged
from evalkit.report.figures import mark
from evalkit.report.section import Drawing
from evalkit.study import Study
from evalkit.study_folder import StudyFolder

_SLICED = "win_rates_by_"  # files of win rates by a column are named after it


@dataclass(frozen=True)
class Results:
    """The tables and files of one analysed study; files that may be absent are empty.

    `every_vote` has those that a rule sets aside as well, `comparisons` the ones that count;
    `exclusions` and `sensitivity` say what does not, and what the results are with it.
    `win_rates_by` has the win rates by each column that the analysis was sliced by, category and
    challenge first.
    """

    folder: StudyFolder
    every_vote: pd.DataFrame
    comparisons: pd.DataFrame
    exclusions: pd.DataFrame
    sensitivity: pd.DataFrame
    anytime: pd.DataFrame
    win_rates: pd.DataFrame
    win_rates_by: dict[str, pd.DataFrame]
    tie_rules: pd.DataFrame
    sides: pd.DataFrame
    ratings: pd.DataFrame
    stability: pd.DataFrame
    elo: pd.DataFrame
    agreement: pd.DataFrame
    annotators: pd.DataFrame
    metric_agreement: pd.DataFrame
    metric_bins: pd.DataFrame
    metric_differences: pd.DataFrame
    disagreements: pd.DataFrame
    judge_bias: pd.DataFrame
    sets: pd.DataFrame
    spreads: pd.DataFrame
    mean_scores: pd.DataFrame
    speed: pd.DataFrame
    prompts: pd.DataFrame
    images: pd.DataFrame
    pairs: pd.DataFrame
    summary: dict[str, Any]
    planned_votes: PlannedVotes
    prompts_record: dict[str, Any]
    manifest: dict[str, Any]
    lock: dict[str, Any]
    lock_hash: str

    @property
    def study(self) -> Study:
        """The study that was analysed."""
        return self.folder.study

    @cached_property
    def simulated(self) -> bool:
        """Whether any of the votes is simulated."""
        votes = (self.comparisons, self.win_rates, self.ratings)
        return any(tables.is_simulated(table) for table in votes)

    @property
    def stamp(self) -> str:
        """What stands on figures and tables of votes: SIMULATED VOTES, EARLY LOOK, nothing."""
        words = (tables.SIMULATED if self.simulated else "", self.planned_votes.stamp)
        return ", ".join(word for word in words if word)

    @property
    def stamp_beside(self) -> str:
        """What stands on the figures and tables that rest on no votes."""
        return f"study with {tables.SIMULATED}" if self.simulated else ""

    @property
    def stamp_anytime(self) -> str:
        """What stands on tables of votes that hold at every look."""
        return tables.SIMULATED if self.simulated else ""

    @property
    def named(self) -> str:
        """What names the study as it was locked: `lock` and its short hash; empty without one."""
        return f"lock {self.lock_hash}" if self.lock_hash else ""

    @property
    def question_ids(self) -> list[str]:
        """The study's questions that have win rates, in the order of the study."""
        voted = set(self.win_rates["question_id"])
        return [question.id for question in self.study.questions if question.id in voted]

    @property
    def pairs_are_known(self) -> bool:
        """Whether the comparisons say which images were shown."""
        return "pair_id" in self.comparisons.columns

    @cached_property
    def annotator_labels(self) -> dict[str, str]:
        """`a01`, `a02` and so on for each stored annotator_id, in the order of the ids."""
        of_tables = (self.annotators, self.every_vote)
        ids = pd.concat([table["annotator_id"] for table in of_tables]).drop_duplicates()
        return dict(zip(ids, pseudonyms(ids, "a"), strict=True))

    def asked(self, name: str, question_id: str) -> pd.DataFrame:
        """The rows of a table that are of one question."""
        frame = getattr(self, name)
        return frame[frame["question_id"] == question_id]

    def drawing(
        self,
        name: str,
        caption: str,
        figure: Figure,
        described: str,
        links: Mapping[str, str] | None = None,
    ) -> Drawing:
        """A figure of the page, marked with what names the study."""
        return Drawing(name, caption, mark(figure, self.named), described, links or {})


def read_results(folder: StudyFolder, early: bool = False) -> Results:
    """The results of a study; StudyError, with the command to run first, where some are missing.

    So too where the planned votes were not there at the analysis, unless `early`.
    """
    require_unchanged(folder)
    images, prompts = folder.read_images(), folder.read_prompts()
    every_vote = _analysed(folder, "comparisons", tables.COMPARISONS)
    win_rates = _by_question(folder, "win_rates", tables.WIN_RATES)
    if win_rates.empty:
        raise StudyError(
            f"{folder.root}: no votes yet, so there is nothing to report; invite annotators with: "
            f"evalkit invite {folder.root}, then run: evalkit serve {folder.root}"
        )
    planned_votes = analysed_votes(folder)
    if not early:
        require_planned(planned_votes, folder.root, folder.analysis)
    return Results(
        folder=folder,
        every_vote=every_vote,
        comparisons=counted(every_vote),
        exclusions=_if_there(folder, "exclusions", tables.EXCLUSIONS),
        sensitivity=_if_there(folder, "sensitivity", tables.SENSITIVITY),
        anytime=_if_there(folder, "anytime", tables.ANYTIME),
        win_rates=win_rates,
        win_rates_by=_slices(folder),
        tie_rules=_if_there(folder, "tie_rules", tables.TIE_RULES),
        sides=_if_there(folder, "sides", tables.LEFT_SHARE),
        ratings=_by_question(folder, "ratings", tables.RATINGS),
        stability=_if_there(folder, "stability", tables.STABILITY),
        elo=_if_there(folder, "elo", tables.ELO),
        agreement=_if_there(folder, "agreement", tables.AGREEMENT),
        annotators=_if_there(folder, "annotators", tables.ANNOTATORS),
        metric_agreement=_if_there(folder, "metric_agreement", tables.METRIC_AGREEMENT),
        metric_bins=_if_there(folder, "metric_bins", tables.METRIC_BINS),
        metric_differences=_if_there(folder, "metric_differences", tables.METRIC_DIFFERENCES),
        disagreements=_if_there(folder, "disagreements", tables.DISAGREEMENTS),
        judge_bias=_if_there(folder, "judge_bias", tables.JUDGE_BIAS),
        sets=_if_there(folder, "sets", tables.SET_SCORES),
        spreads=_if_there(folder, "spreads", tables.MEAN_SCORES),
        mean_scores=_analysed(folder, "scores", tables.MEAN_SCORES),
        speed=_analysed(folder, "speed", tables.SPEED),
        prompts=prompts,
        images=images,
        pairs=_pairs(folder),
        summary=_json(folder.analysis / "summary.json"),
        planned_votes=planned_votes,
        prompts_record=_json(folder.prompts_record),
        manifest=_json(folder.manifest_file),
        lock=lock_facts(folder),
        lock_hash=lock_hash(folder),
    )


def analysed_votes(folder: StudyFolder) -> PlannedVotes:
    """How many votes were given and planned at the last analysis; StudyError before it."""
    summary = _json(folder.analysis / "summary.json")
    counts = summary.get("planned_votes")
    if counts is None:
        raise StudyError(
            f"{folder.root}: analysis/summary.json does not say how many votes were planned; run: "
            f"evalkit analyze {folder.root}"
        )
    rule = summary.get("stopping", {}).get("rule", "planned")
    return PlannedVotes(counts["given"], counts["planned"], rule)


def _analysed(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    path = folder.analysis / f"{name}.csv"
    if not path.is_file():
        raise StudyError(
            f"{folder.root}: no analysis/{name}.csv yet; run: evalkit analyze {folder.root}, which "
            "says so where votes are missing"
        )
    return tables.read(path, table)


def _if_there(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    exists = (folder.analysis / f"{name}.csv").is_file()
    return _in_order(folder, _analysed(folder, name, table)) if exists else table.empty()


def _slices(folder: StudyFolder) -> dict[str, pd.DataFrame]:
    """The win rates by each column that there is a table of, by the column's name."""
    found = sorted(path.stem for path in folder.analysis.glob(f"{_SLICED}*.csv"))
    found.sort(key=lambda name: name.removeprefix(_SLICED) not in ("category", "challenge"))
    return {
        name.removeprefix(_SLICED): _by_question(folder, name, tables.WIN_RATES) for name in found
    }


def _by_question(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    """The table, its questions in the order of the study."""
    frame = _analysed(folder, name, table)
    unknown = set(frame["question_id"]) - {question.id for question in folder.study.questions}
    if unknown:
        raise StudyError(
            f"{folder.analysis / name}.csv: question {min(unknown)} is not in study.toml; run: "
            f"evalkit analyze {folder.root}"
        )
    return _in_order(folder, frame)


def _in_order(folder: StudyFolder, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows by question in the order of the study; those of no question of it come last."""
    if "question_id" not in frame.columns:
        return frame
    place = {question.id: place for place, question in enumerate(folder.study.questions)}
    return frame.sort_values("question_id", key=lambda ids: ids.map(place), kind="stable")


def _pairs(folder: StudyFolder) -> pd.DataFrame:
    exists = folder.pairs_file.is_file()
    return tables.read(folder.pairs_file, tables.PAIRS) if exists else tables.PAIRS.empty()


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(read_bytes(path))  # the manifest goes with the images
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid JSON ({error}); write it again or delete it") from None
