"""Everything a report is made of, read from the study folder and checked; nothing is computed."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.files import read_bytes
from evalkit.lock import require_unchanged
from evalkit.study import Study
from evalkit.study_folder import StudyFolder


@dataclass(frozen=True)
class Results:
    """The tables and files of one analysed study; files that may be absent are empty."""

    folder: StudyFolder
    comparisons: pd.DataFrame
    win_rates: pd.DataFrame
    ratings: pd.DataFrame
    mean_scores: pd.DataFrame
    speed: pd.DataFrame
    prompts: pd.DataFrame
    images: pd.DataFrame
    pairs: pd.DataFrame
    summary: dict[str, Any]
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
        """What stands on every figure and table of votes: SIMULATED VOTES, or nothing."""
        return tables.SIMULATED if self.simulated else ""

    @property
    def stamp_beside(self) -> str:
        """What stands on the figures and tables that rest on no votes."""
        return f"study with {tables.SIMULATED}" if self.simulated else ""

    @property
    def question_ids(self) -> list[str]:
        """The study's questions that have win rates, in the order of the study."""
        voted = set(self.win_rates["question_id"])
        return [question.id for question in self.study.questions if question.id in voted]


def read_results(folder: StudyFolder) -> Results:
    """The results of a study; StudyError, with the command to run first, where some are missing."""
    require_unchanged(folder)
    images, prompts = folder.read_images(), folder.read_prompts()
    win_rates = _by_question(folder, "win_rates", tables.WIN_RATES)
    if win_rates.empty:
        raise StudyError(
            f"{folder.root}: no votes yet, so there is nothing to report; invite annotators with: "
            f"evalkit invite {folder.root}, then run: evalkit serve {folder.root}"
        )
    return Results(
        folder=folder,
        comparisons=_analysed(folder, "comparisons", tables.COMPARISONS),
        win_rates=win_rates,
        ratings=_by_question(folder, "ratings", tables.RATINGS),
        mean_scores=_analysed(folder, "scores", tables.MEAN_SCORES),
        speed=_analysed(folder, "speed", tables.SPEED),
        prompts=prompts,
        images=images,
        pairs=_pairs(folder),
        summary=_json(folder.analysis / "summary.json"),
        prompts_record=_json(folder.prompts_record),
        manifest=_json(folder.manifest_file),
        lock=_json(folder.lock_file),
    )


def _analysed(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    path = folder.analysis / f"{name}.csv"
    if not path.is_file():
        raise StudyError(
            f"{folder.root}: no analysis/{name}.csv yet; once there are votes, run: "
            f"evalkit analyze {folder.root}"
        )
    return tables.read(path, table)


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
