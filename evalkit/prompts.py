"""Prompts: read a set from the built-in ones, a file or PartiPrompts on the hub; draw from it."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError, TableError, listed, nearest

_HUB_SETS = {"partiprompts": "nateraw/parti-prompts"}


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
    literal, as in the PartiPrompts file, whose capitalised column names are understood. Blanks
    around a prompt are taken away. Raises StudyError on an unknown source or an unreadable file,
    TableError, with the row, on an empty prompt or one that stands twice.
    """
    if source in builtin_sets():
        return _tidy(_read_file(builtin_folder() / f"{source}.tsv"), source)
    if source in _HUB_SETS:
        return _tidy(_read_hub(source), source)
    if Path(source).suffix in _READERS:
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
        f"{listed(_READERS)}{nearest(source, known)}"
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
        frame = _READERS[path.suffix](path)
    except (ValueError, OSError) as error:  # ValueError: pandas' own, and wrong encodings
        reason = str(error).strip().splitlines()[0]
        raise StudyError(
            f"{path}: not readable as {path.suffix} ({reason}); save it as UTF-8 with a header"
        ) from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes a cell too many for a row's name
        raise StudyError(
            f"{path}: a row has more cells than the header; quote a prompt that has a comma"
        )
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _read_tsv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, dtype=str, keep_default_na=False)


def _read_jsonl(path: Path) -> pd.DataFrame:
    return pd.read_json(path, lines=True, dtype=str)


_READERS = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}


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
    frame = frame.fillna("").rename(columns=lambda name: str(name).strip().lower())
    if list(frame.columns).count("prompt") != 1:
        raise StudyError(
            f"{where}: one column prompt is needed (found: {listed(frame.columns)}); name the "
            "column of the prompts so"
        )
    frame["prompt"] = frame["prompt"].astype(str).str.strip()
    _check_texts(frame["prompt"].tolist(), where)
    if "prompt_id" not in frame.columns:
        width = len(str(len(frame)))
        stem = Path(where).stem.lower()
        frame["prompt_id"] = [f"{stem}-{row:0{width}d}" for row in range(1, len(frame) + 1)]
    for name in ("category", "challenge"):
        if name not in frame.columns:
            frame[name] = ""
    return tables.check(frame, tables.PROMPTS, where)


def _check_texts(texts: list[str], where: str) -> None:
    """Every prompt has a text of its own: two the same would make the same images."""
    if not texts:
        raise StudyError(f"{where}: no prompts in it; give at least one")
    first_rows: dict[str, int] = {}
    for row, text in enumerate(texts, start=1):
        if not text:
            raise TableError(f"{where}: row {row}: the prompt is empty; write it or remove the row")
        if text in first_rows:
            raise TableError(
                f'{where}: row {row}: "{text}" stands in row {first_rows[text]} already; a prompt '
                "is asked once; remove one of them"
            )
        first_rows[text] = row
