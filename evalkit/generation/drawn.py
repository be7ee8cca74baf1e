"""The prompts of a study as drawn from their source, and the record of how they came to be."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.files import write_json
from evalkit.generation.prompt_lengths import (
    Lengths,
    drop_over_long,
    prompt_lengths,
    refuse_over_long,
)
from evalkit.prompts import (
    PromptSet,
    copy_input_images,
    draw_prompts,
    find_input_images,
    read_prompts,
)
from evalkit.study_folder import StudyFolder


@dataclass(frozen=True)
class DrawnPrompts:
    """The prompts of a study; nothing of them is written yet.

    `table` is of `tables.PROMPTS`, with the input images where a model of the study takes one;
    `inputs` says what file each of these is copied from. `places` are the rows of the source that
    the prompts stand in, `read` is the whole set that they were drawn from.
    """

    table: pd.DataFrame
    places: list[str]
    inputs: dict[str, Path]
    read: PromptSet

    def measure(self, folder: StudyFolder) -> list[Lengths]:
        """Which prompts are too long for each model; StudyError where the study refuses them."""
        lengths = prompt_lengths(folder, self.table.assign(place=self.places))
        if folder.study.prompts.over_long == "refuse":
            refuse_over_long(lengths, self.read.where)
        return lengths

    def report(self, lengths: Sequence[Lengths]) -> list[str]:
        """What the user is told of rows that were dropped and of prompts that are cut."""
        return [*self.read.report(), *filter(None, (length.line() for length in lengths))]

    def copy_inputs(self, folder: StudyFolder) -> None:
        """Copy the input images into the study folder, so that they move with it."""
        copy_input_images(self.inputs, folder.root)

    def write_record(self, folder: StudyFolder, lengths: Sequence[Lengths]) -> None:
        """Write prompts.json: the source, what was dropped, drawn and is cut."""
        models = {length.model: length.record() for length in lengths}
        write_json(folder.prompts_record, {**self._record(folder), "models": models})

    def is_recorded(self, folder: StudyFolder) -> bool:
        """Whether prompts.json is of this draw and of the study's models."""
        try:
            content = json.loads(folder.prompts_record.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        models = content.pop("models", {})
        return content == self._record(folder) and list(models) == folder.study.model_names

    def _record(self, folder: StudyFolder) -> dict[str, Any]:
        return {
            "settings": folder.study.prompts.model_dump(exclude_none=True),
            "seed": folder.study.seed,
            "source": self.read.record(),
            "drawn": len(self.table),
        }


def draw(folder: StudyFolder) -> DrawnPrompts:
    """Read the study's source, drop what is to be dropped, draw, and find the input images.

    Nothing is written. Raises StudyError or TableError, with the row, for what is wrong in the
    source (see `read_prompts`, `draw_prompts`, `find_input_images`), and ModelError where
    `over_long = "drop"` needs a tokenizer that cannot be had.
    """
    study, source = folder.study, folder.study.prompts
    with_image = [model.name for model in study.models if model.takes_image]
    read = read_prompts(source, folder.root, by_image=len(with_image) == len(study.models))
    if source.over_long == "drop":
        read = drop_over_long(folder, read)
    rows = draw_prompts(read.table, source.n, source.draw, study.seed, source.stratify)
    inputs: dict[str, Path] = {}
    if with_image:
        found = find_input_images(rows, read.folder, folder.root, read.where, with_image[0])
        rows, inputs = found.prompts, found.files
    table = tables.check(rows, tables.PROMPTS, read.where)
    return DrawnPrompts(table, rows["place"].tolist(), inputs, read)
