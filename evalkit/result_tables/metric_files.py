"""The tables that metrics wrote, read: whole, and about this study as it is, or refused."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.content import (
    Contents,
    image_contents,
    judgement_contents,
    set_contents,
    spread_contents,
)
from evalkit.errors import StudyError, listed
from evalkit.study_folder import StudyFolder

LEAST_OF_SPREAD = 2  # images of a prompt and model


@dataclass(frozen=True)
class _Kind:
    """Files of one kind of metric, and what is wrong with one that is not about this study."""

    files: Path
    table: tables.Table
    about: tuple[str, ...]  # columns that name what a row is about
    wrong: str
    run: tuple[str, ...] = ("weights",)  # columns that tell runs apart


def read_scores(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The scores of the images that are ok.

    StudyError where weights lack some, or have scores of other images, or of what an image or
    prompt was before.
    """
    kind = _Kind(
        folder.scores, tables.SCORES, ("image_id",), "not every image of the study has a score"
    )
    ok = _ok(images)
    contents = image_contents(ok, folder.read_prompt_texts(ok["prompt_id"]))
    return _read(folder, kind, lambda rows: contents)


def read_judgements(folder: StudyFolder, pairs: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The judgements of the study's pairs by each of its questions; StudyError as for scores."""
    about = ("question_id", "pair_id")
    wrong = "not every pair of the study is judged by every question"
    kind = _Kind(folder.judgements, tables.JUDGEMENTS, about, wrong)
    prompts = folder.read_prompt_texts(pairs["prompt_id"])
    contents = judgement_contents(pairs, images, prompts, folder.study.questions)
    return _read(folder, kind, lambda rows: contents)


def read_spreads(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The spreads of every prompt and model with two images; StudyError as for scores."""
    about = ("prompt_id", "model")
    wrong = "not every prompt and model of the study is measured with all its images"
    kind = _Kind(folder.spreads, tables.SPREADS, about, wrong)
    ok = _ok(images)
    contents = spread_contents(ok, LEAST_OF_SPREAD)
    counts = ok.groupby(list(about)).size().to_dict()
    return _read(folder, kind, lambda rows: contents, counts)


def read_sets(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The distances of every model to each reference; StudyError as for scores."""
    about = ("model", "reference")
    wrong = "not every model of the study is measured with all its images"
    kind = _Kind(folder.sets, tables.SET_SCORES, about, wrong, run=("weights", "reference"))
    ok = _ok(images)
    counts = ok.groupby("model").size()

    def contents(rows: pd.DataFrame) -> Contents:
        return set_contents(ok, rows["reference"].iloc[0])

    return _read(folder, kind, contents, counts.to_dict())


def _read(
    folder: StudyFolder,
    kind: _Kind,
    wanted: Callable[[pd.DataFrame], Contents],
    counts: Mapping[Hashable, int] | None = None,
) -> pd.DataFrame:
    """The rows of every file, without their content, each run checked by itself.

    `wanted` gives what the rows of a run should be about, `counts` of how many images each is.
    """
    found = [kind.table.empty()]
    for file in sorted(kind.files.glob("*.csv")):
        rows = tables.read(file, kind.table)
        runs = dict(list(rows.groupby(list(kind.run))))
        wrong = [names for names, part in runs.items() if not _is_about(part, kind, wanted(part))]
        if counts is not None:
            wrong += [names for names, part in runs.items() if not _has_all(part, kind, counts)]
        if wrong or rows.empty:
            raise _refusal(folder, file, kind, wrong)
        found.append(rows.drop(columns="content", errors="ignore"))
    return pd.concat(found[1:] or found, ignore_index=True)


def _is_about(rows: pd.DataFrame, kind: _Kind, wanted: Contents) -> bool:
    """Whether the rows are about exactly that, as it is; an unknown content counts as the same."""
    names = rows[list(kind.about)].itertuples(index=False, name=None)
    given = rows["content"] if "content" in rows else [""] * len(rows)
    found = dict(zip(names, given, strict=True))
    return found.keys() == wanted.keys() and all(
        found[name] == content for name, content in wanted.items() if content and found[name]
    )


def _has_all(rows: pd.DataFrame, kind: _Kind, counts: Mapping[Hashable, int]) -> bool:
    """Whether each row counts as many images as there are."""
    names = [name for name in kind.about if name != "reference"]
    there = rows[names].itertuples(index=False, name=None)
    wanted = [counts.get(name if len(names) > 1 else name[0], 0) for name in there]
    return rows["n"].tolist() == wanted


def _refusal(
    folder: StudyFolder, file: Path, kind: _Kind, wrong: list[tuple[str, ...]]
) -> StudyError:
    runs = [dict(zip(kind.run, names, strict=True)) for names in dict.fromkeys(wrong)]
    found = listed(" against ".join(run.values()) for run in runs) if runs else "no row"
    options = "".join(f" --{column} NAME" for column in kind.run)
    return StudyError(
        f"{file}: {kind.wrong}, or a row is of what was there before (weights: {found}); every row "
        f"is to be about the study as it is; run: evalkit score {folder.root} --metric "
        f"{file.stem}{options} for each (a local file by its path), or remove those rows"
    )


def _ok(images: pd.DataFrame) -> pd.DataFrame:
    return images[images["status"] == "ok"]
