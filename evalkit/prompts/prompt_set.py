"""PromptSet: the prompts of a source, each named and once; what was dropped, and from which row."""

from dataclasses import dataclass, replace
from numbers import Number
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.errors import StudyError, TableError, listed
from evalkit.prompts.formats import SourceRows
from evalkit.prompts.source import read_source
from evalkit.study_sections import PromptSource

REASONS = {  # why a row is dropped: as the report says it
    "duplicate": "dropped as duplicates of an earlier row",
    "blank": "dropped as blank",
    "over_long": "dropped as too long for a text encoder",
}
_ROWS_LISTED = 10

_OURS = {name: name for name in ("prompt", "prompt_id", "category", "challenge")}
_KEYS = {name: f"{name}_column" for name in _OURS} | {"prompt": "column", "prompt_id": "id_column"}

# Well-known files, told by columns that they alone have: which of theirs are ours.
_DPG_BENCH = {"item_id", "text", "proposition_id", "category_broad"}
_GENEVAL = {"tag", "include", "prompt"}
_THEIRS = (
    (_DPG_BENCH, {"prompt_id": "item_id", "prompt": "text", "category": "category_broad"}),
    (_GENEVAL, {"category": "tag"}),
)


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a source after its checks.

    `table` has the columns of `tables.PROMPTS` that every set has, and `place` (the row in the
    source, `row 2`) and `image` (the input image as the source names it, or empty). `dropped` has
    place, prompt and reason (a key of `REASONS`) of each row that was not kept, `read` is the
    number of rows before. `origin` is what is recorded of the source.
    """

    table: pd.DataFrame
    dropped: pd.DataFrame
    read: int
    where: str
    folder: Path | None
    origin: dict[str, str | None]

    def without(self, rows: pd.Index, reason: str) -> "PromptSet":
        """The set without these rows of its table, which are dropped for this reason."""
        gone = self.table.loc[rows, ["place", "prompt"]].assign(reason=reason)
        return replace(
            self,
            table=self.table.drop(index=rows).reset_index(drop=True),
            dropped=pd.concat([self.dropped, gone], ignore_index=True),
        )

    def report(self) -> list[str]:
        """A line for each reason why rows were dropped; none where all were kept."""
        lines = []
        for reason, words in REASONS.items():
            places = self.dropped.loc[self.dropped["reason"] == reason, "place"].tolist()
            if places:
                lines.append(
                    f"{self.where}: {len(places)} of {self.read} rows {words}: {in_short(places)}"
                )
        return lines

    def record(self) -> dict[str, Any]:
        """What a reader of the study needs to know: rows read, dropped and kept, and from where."""
        reasons = self.dropped["reason"]
        return {
            **self.origin,
            "rows": self.read,
            "kept": len(self.table),
            "dropped": {reason: int((reasons == reason).sum()) for reason in REASONS},
            "dropped_rows": self.dropped.to_dict("records"),
        }


def read_prompts(settings: PromptSource, folder: Path, by_image: bool = False) -> PromptSet:
    """The prompts of a source, looked up from `folder` where it is a file.

    Blanks around a prompt are taken away. Without ids of its own a prompt is named by the number of
    its row. A row without a prompt, and one whose prompt stands in an earlier row, is refused or
    dropped as the settings say; with `by_image` a prompt counts together with its input image.

    Raises StudyError on an unknown or unreadable source, a missing column and a set without
    prompts, TableError, with the row, on a blank or double prompt, on a cell that is neither
    text nor number and on an id that is empty or stands twice.
    """
    source = read_source(settings, folder)
    table = _columns(source, settings)
    empty = pd.DataFrame(columns=["place", "prompt", "reason"], dtype=object)
    prompts = PromptSet(table, empty, len(table), source.where, source.folder, source.origin)
    prompts = _without_blanks(prompts, settings.blanks)
    prompts = _without_duplicates(prompts, settings.duplicates, by_image)
    if prompts.table.empty:
        raise StudyError(f"{source.where}: no prompts in it; give at least one")
    _check_ids(prompts)
    return prompts


def in_short(places: list[str]) -> str:
    """`rows 2, 7, 9`, the first of them where there are many."""
    kind = places[0].partition(" ")[0]
    names = [place.partition(" ")[2] for place in places[:_ROWS_LISTED]]
    rest = f" and {len(places) - _ROWS_LISTED} more" if len(places) > _ROWS_LISTED else ""
    return f"{kind}{'s' if len(places) > 1 else ''} {listed(names)}{rest}"


def _columns(source: SourceRows, settings: PromptSource) -> pd.DataFrame:
    """The source's rows under our names, before any is looked at."""
    if set(source.cells.columns) >= _DPG_BENCH:
        source = _one_row_per_item(source)
    names = _our_names(source.cells.columns.tolist(), settings, source.where)
    table = pd.DataFrame({"place": source.places})
    for name in (*_OURS, "image"):
        table[name] = _texts(source, names[name]) if name in names else ""
    if "prompt_id" not in names:
        width = len(str(len(table)))
        numbers = range(1, len(table) + 1)
        table["prompt_id"] = [f"{source.stem}-{number:0{width}d}" for number in numbers]
    return table


def _our_names(found: list[str], settings: PromptSource, where: str) -> dict[str, str]:
    """Which of the source's columns is which of ours; StudyError where one is missing."""
    asked = {name: getattr(settings, key) for name, key in _KEYS.items()}
    asked = {name: column.strip().lower() for name, column in asked.items() if column}
    for name, column in asked.items():
        if found.count(column) != 1:
            raise StudyError(
                f'{where}: no column "{column}", or several (found: {listed(found)}); correct '
                f"prompts.{_KEYS[name]}"
            )
    theirs = next((names for told_by, names in _THEIRS if told_by <= set(found)), {})
    names = {**_OURS, "image": "image", "input_image": "input_image", **theirs, **asked}
    if found.count(names["prompt"]) != 1:
        raise StudyError(
            f"{where}: one column prompt is needed (found: {listed(found)}); name the column of "
            "the prompts with prompts.column"
        )
    names = {name: column for name, column in names.items() if column in found}
    image = names.pop("input_image", names.get("image"))
    return {**names, "image": image} if image else names


def _one_row_per_item(source: SourceRows) -> SourceRows:
    """DPG-Bench has a row per question on an image: one per prompt, its categories together."""
    text = _texts(source, "text")
    cells = source.cells.fillna("").astype(str).assign(text=text, place=source.places)
    items = cells.groupby("item_id", sort=False)
    for item_id, texts in items["text"]:
        if texts.str.strip().nunique() > 1:
            raise TableError(
                f"{source.where}: item_id {item_id} has two texts; an item is one prompt; correct "
                "its rows"
            )
    together = {name: lambda kinds: " + ".join(sorted(set(kinds))) for name in cells.columns}
    merged = items.agg({**together, "text": "first", "place": "first"}).drop(columns="item_id")
    merged = merged.reset_index()
    return replace(source, cells=merged.drop(columns="place"), places=merged["place"].tolist())


def _texts(source: SourceRows, column: str) -> list[str]:
    """The cells of a column as texts without blanks around them; a missing cell is empty.

    Raises TableError, with the row, where a cell is neither text nor number.
    """
    texts = []
    for cell, place in zip(source.cells[column].astype(object), source.places, strict=True):
        is_missing = pd.api.types.is_scalar(cell) and pd.isna(cell)
        if not is_missing and (not isinstance(cell, str | Number) or isinstance(cell, bool)):
            raise TableError(
                f"{source.where}: {place}: {column} is a {type(cell).__name__}, {str(cell)[:80]}; "
                "allowed are texts and numbers; correct it"
            )
        texts.append("" if is_missing else str(cell).strip())
    return texts


def _without_blanks(prompts: PromptSet, rule: str) -> PromptSet:
    blank = prompts.table[prompts.table["prompt"] == ""]
    if rule == "refuse" and len(blank):
        raise TableError(
            f"{prompts.where}: {blank['place'].iloc[0]}: the prompt is empty; write it, remove the "
            'row, or set prompts.blanks = "drop"'
        )
    return prompts.without(blank.index, "blank")


def _without_duplicates(prompts: PromptSet, rule: str, by_image: bool) -> PromptSet:
    key = ["prompt", "image"] if by_image else ["prompt"]
    again = prompts.table[prompts.table.duplicated(key)]
    if rule == "refuse" and len(again):
        row = again.iloc[0]
        same = (prompts.table[key] == row[key]).all(axis=1)
        first = prompts.table.loc[same, "place"].iloc[0]
        raise TableError(
            f'{prompts.where}: {row["place"]}: "{row["prompt"]}" stands in {first} already; a '
            'prompt is asked once; remove one of them, or set prompts.duplicates = "drop"'
        )
    return prompts.without(again.index, "duplicate")


def _check_ids(prompts: PromptSet) -> None:
    table = prompts.table
    for place in table.loc[table["prompt_id"] == "", "place"]:
        raise TableError(f"{prompts.where}: {place}: prompt_id is empty; name the prompt")
    for row in table[table.duplicated("prompt_id")].itertuples():
        raise TableError(
            f"{prompts.where}: {row.place}: prompt_id = {row.prompt_id} stands twice; each prompt "
            "has an id of its own; rename one of them"
        )
