"""Prompts: read a set from the built-in ones, a file or PartiPrompts on the hub; draw from it."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError, listed, nearest

_HUB_SETS = {"partiprompts": "nateraw/parti-prompts"}
_ENDINGS = (".tsv", ".csv", ".jsonl")


def builtin_folder() -> Path:
    """The folder of the prompt sets that come with evalkit."""
    packaged = Path(__file__).parent / "prompt_sets"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "prompts"


def builtin_sets() -> list[str]:
    """Names of the prompt sets that come with evalkit."""
    return sorted(path.stem for path in builtin_folder().glob("*.tsv"))


def read_prompts(source: str, folder: Path) -> pd.DataFrame:
    """A prompts table (`tables.PROMPTS`) from a built-in set, `partiprompts`, or a file.

    A file is looked up from `folder`; it has a column `prompt`, and optionally `prompt_id`,
    `category` and `challenge` (without `prompt_id` a row is named by its number). TSV quotes are
    literal, as in the PartiPrompts file, whose capitalised column names are understood.
    Raises StudyError on an unknown source, TableError on a bad row.
    """
    if source in builtin_sets():
        return _tidy(_read_file(builtin_folder() / f"{source}.tsv"), source)
    if source in _HUB_SETS:
        return _tidy(_read_hub(source), source)
    if Path(source).suffix in _ENDINGS:
        path = folder / source
        if not path.is_file():
            raise StudyError(
                f'prompts: no file "{path}"; prompts.source is a file beside study.toml, or one of '
                f"{listed([*builtin_sets(), *_HUB_SETS])}"
            )
        return _tidy(_read_file(path), str(path))
    known = [*builtin_sets(), *_HUB_SETS]
    raise StudyError(
        f'prompts: unknown source "{source}"; allowed are {listed(known)}, or a file ending in '
        f"{listed(_ENDINGS)}{nearest(source, known)}"
    )


def draw_prompts(prompts: pd.DataFrame, n: int | None, draw: str, seed: int) -> pd.DataFrame:
    """The first `n` prompts, or `n` at random without replacement in the set's order; None: all.

    Raises StudyError where the set has fewer than `n`.
    """
    if n is None:
        return prompts
    if n > len(prompts):
        raise StudyError(f"prompts: n = {n}, but the set has {len(prompts)} prompts; lower n")
    if draw == "first":
        return prompts.head(n)
    rows = np.random.default_rng(seed).choice(len(prompts), size=n, replace=False)
    return prompts.iloc[np.sort(rows)].reset_index(drop=True)


def _read_file(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".jsonl":
            return pd.read_json(path, lines=True, dtype=str)
        quoting = csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL
        separator = "\t" if path.suffix == ".tsv" else ","
        return pd.read_csv(path, sep=separator, quoting=quoting, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise StudyError(
            f"{path}: not readable as {path.suffix} ({error}); save it as UTF-8 with a header"
        ) from None


def _read_hub(source: str) -> pd.DataFrame:
    try:
        from datasets import load_dataset
    except ImportError:
        raise StudyError(
            f'prompts: "{source}" is read from the hub by the package datasets, which is not '
            'installed; run pip install "evalkit[generate]"'
        ) from None
    try:
        return load_dataset(_HUB_SETS[source], split="train").to_pandas()
    except Exception as error:  # every kind of network and hub failure, with one remedy
        raise StudyError(
            f'prompts: "{source}" could not be read from the hub ({type(error).__name__}); '
            "download PartiPrompts.tsv once and set prompts.source to that file"
        ) from None


def _tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    frame = frame.rename(columns={name: name.lower() for name in frame.columns})
    if "prompt" not in frame.columns:
        raise StudyError(
            f"{where}: no column prompt (found: {listed(frame.columns)}); name the column of the "
            "prompts so"
        )
    if "prompt_id" not in frame.columns:
        width = len(str(len(frame)))
        stem = Path(where).stem.lower()
        frame["prompt_id"] = [f"{stem}-{row:0{width}d}" for row in range(1, len(frame) + 1)]
    for name in ("category", "challenge"):
        if name not in frame.columns:
            frame[name] = ""
    frame["prompt"] = frame["prompt"].astype(str).str.strip()
    return tables.check(frame, tables.PROMPTS, where)
