"""Everything a report is made of, read from the study folder and checked; nothing is computed."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis.exclusions import counted
from evalkit.early_looks import PlannedVotes, require_planned
from evalkit.errors import StudyError
from evalkit.files import read_bytes
from evalkit.lock import lock_facts, require_unchanged
from evalkit.study import Study
from evalkit.study_folder import StudyFolder


@dataclass(frozen=True)
class Results:
    """The tables and files of one analysed study; files that may be absent are empty.

    `comparisons` are the votes that count; `exclusions` and `sensitivity` say what does not, and
    what the results are with it.
    """

    folder: StudyFolder
    comparisons: pd.DataFrame
    exclusions: pd.DataFrame
    sensitivity: pd.DataFrame
    anytime: pd.DataFrame
    win_rates: pd.DataFrame
    ratings: pd.DataFrame
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

    def further(self, name: str, table: tables.Table) -> pd.DataFrame:
        """A further table of the analysis by its file's name; empty where it was not made."""
        return _if_there(self.folder, name, table)

    @property
    def question_ids(self) -> list[str]:
        """The study's questions that have win rates, in the order of the study."""
        voted = set(self.win_rates["question_id"])
        return [question.id for question in self.study.questions if question.id in voted]


def read_results(folder: StudyFolder, early: bool = False) -> Results:
    """The results of a study; StudyError, with the command to run first, where some are missing.

    So too where the planned votes were not there at the analysis, unless `early`.
    """
    require_unchanged(folder)
    images, prompts = folder.read_images(), folder.read_prompts()
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
        comparisons=counted(_analysed(folder, "comparisons", tables.COMPARISONS)),
        exclusions=_if_there(folder, "exclusions", tables.EXCLUSIONS),
        sensitivity=_if_there(folder, "sensitivity", tables.SENSITIVITY),
        anytime=_if_there(folder, "anytime", tables.ANYTIME),
        win_rates=win_rates,
        ratings=_by_question(folder, "ratings", tables.RATINGS),
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
    return _analysed(folder, name, table) if exists else table.empty()


def _by_question(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    """The table, its questions in the order of the study."""
    frame = _analysed(folder, name, table)
    place = {question.id: place for place, question in enumerate(folder.study.questions)}
    unknown = set(frame["question_id"]) - set(place)
    if unknown:
        raise StudyError(
            f"{folder.analysis / name}.csv: question {min(unknown)} is not in study.toml; run: "
            f"evalkit analyze {folder.root}"
        )
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
