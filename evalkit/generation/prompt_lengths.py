"""Prompts that are longer than a model reads: counted per model, kept, refused or dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evalkit.errors import ModelError, StudyError
from evalkit.models import CascadeModel, DiffusionModel, ModelSpec
from evalkit.prompts import PromptSet, in_short
from evalkit.study_folder import StudyFolder

if TYPE_CHECKING:
    from evalkit.pipelines.tokens import TextWindow


@dataclass(frozen=True)
class Lengths:
    """The prompts that one model does not read whole.

    `limit` is the model's longest text window in tokens (None: it has none, or it could not be had,
    and `unknown` says why); `over_long` has place, prompt_id and tokens of each longer prompt.
    """

    model: str
    limit: int | None
    over_long: pd.DataFrame
    unknown: str = ""

    def line(self) -> str:
        """What the user is told; empty where there is nothing to tell."""
        if self.unknown:
            return f"{self.model}: the length of the prompts is not known ({self.unknown})"
        if self.over_long.empty:
            return ""
        n = len(self.over_long)
        prompts, are = ("prompts", "are") if n > 1 else ("prompt", "is")
        return (
            f"{self.model}: {n} {prompts} {are} longer than its {self.limit} tokens and {are} cut: "
            f"{in_short(self.over_long['place'].tolist())}"
        )

    def record(self) -> dict[str, Any]:
        """As it stands in the study's record."""
        rows = self.over_long[["prompt_id", "tokens"]].to_dict("records")
        unknown = {"unknown": self.unknown} if self.unknown else {}
        return {"limit_tokens": self.limit, "over_long": rows, **unknown}


def prompt_lengths(folder: StudyFolder, prompts: pd.DataFrame) -> list[Lengths]:
    """The lengths of these prompts (columns prompt_id, prompt, place) for each model of the study.

    A tokenizer that cannot be loaded is said, not raised: its model fails to load later, with its
    own sentence.
    """
    found = []
    nothing = prompts.head(0)[["place", "prompt_id"]].assign(tokens=[])
    for model in folder.study.models:
        try:
            window = _text_window(model, folder.root)
        except (ModelError, ModuleNotFoundError) as error:
            found.append(Lengths(model.name, None, nothing, str(error)))
            continue
        if window is None:
            found.append(Lengths(model.name, None, nothing))
            continue
        tokens = window.count(prompts["prompt"].tolist())
        counted = prompts[["place", "prompt_id"]].assign(tokens=tokens)
        found.append(Lengths(model.name, window.limit, counted[counted["tokens"] > window.limit]))
    return found


def refuse_over_long(lengths: Sequence[Lengths], where: str) -> None:
    """StudyError, with its row, for the first prompt that a model does not read whole.

    Raises ModelError where a length cannot be known: it might be too long.
    """
    _require_known(lengths, "refuse")
    for length in lengths:
        for row in length.over_long.itertuples():
            raise StudyError(
                f"{where}: {row.place}: the prompt has {row.tokens} tokens, and "
                f"{length.model} reads {length.limit}; shorten it, or set prompts.over_long to "
                '"keep" or "drop"'
            )


def drop_over_long(folder: StudyFolder, prompts: PromptSet) -> PromptSet:
    """The set without the prompts that some model does not read whole.

    Raises ModelError where a length cannot be known: the draw would be another one.
    """
    lengths = prompt_lengths(folder, prompts.table)
    _require_known(lengths, "drop")
    too_long = {prompt_id for length in lengths for prompt_id in length.over_long["prompt_id"]}
    rows = prompts.table.index[prompts.table["prompt_id"].isin(too_long)]
    return prompts.without(rows, "over_long")


def _require_known(lengths: Sequence[Lengths], rule: str) -> None:
    for length in lengths:
        if length.unknown:
            raise ModelError(
                f'prompts: over_long = "{rule}" needs the tokenizers of all models '
                f'({length.unknown}); get them, or set prompts.over_long = "keep"'
            )


def _text_window(model: ModelSpec, root: Path) -> "TextWindow | None":
    if not isinstance(model, DiffusionModel | CascadeModel):
        return None
    from evalkit.pipelines.tokens import load_text_window  # its libraries are heavy

    return load_text_window(model.located(root))
