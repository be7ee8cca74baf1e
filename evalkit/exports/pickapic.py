"""Votes in the columns of Pick-a-Pic: a row per vote with the bytes of both images.

Source of the columns: the data set's card (Kirstain et al. 2023, Pick-a-Pic, version 2).
"""

from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.exports.cards import pickapic_card
from evalkit.exports.image_rows import ImageFiles, records, write_rows
from evalkit.exports.published import Published
from evalkit.exports.written import Written
from evalkit.files import write_text

_KINDS = {
    "are_different": "bool", "best_image_uid": "string", "caption": "string",
    "created_at": "string", "has_label": "bool", "image_0_uid": "string",
    "image_0_url": "string", "image_1_uid": "string", "image_1_url": "string",
    "jpg_0": "binary", "jpg_1": "binary", "label_0": "float64", "label_1": "float64",
    "model_0": "string", "model_1": "string", "ranking_id": "int64", "user_id": "int64",
    "num_example_per_prompt": "int64",
}  # fmt: skip
_LABELS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}
BOTH_BAD = "votes for both_bad, which Pick-a-Pic has no label for"
NOT_COUNTED = "repeats, and votes that the study's rules set aside"


def write_pickapic(content: Published, target: Path) -> Written:
    """Write one file per question, named after it, and the card.

    Only main votes count that no rule sets aside; those for both_bad are left out.
    """
    counted = content.counted()
    votes = counted[counted["winner"] != "both_bad"]
    rows = {}
    for question_id, asked in votes.groupby("question_id", sort=True):
        name = f"data/{question_id}.parquet"
        rows[name] = len(asked)
        _write(content, asked, target / name)
    found = {BOTH_BAD: len(counted) - len(votes), NOT_COUNTED: len(content.votes) - len(counted)}
    left_out = {why: n for why, n in found.items() if n}
    write_text(target / "README.md", pickapic_card(content, sorted(rows), left_out))
    return Written(rows, left_out)


def _write(content: Published, asked: pd.DataFrame, path: Path) -> None:
    kinds = _KINDS | ({"vote_source": "string"} if content.simulated else {})
    files = ImageFiles(content)
    captions = content.prompts.set_index("prompt_id")["prompt"]
    per_prompt = asked["prompt_id"].value_counts()
    numbers = _numbers(content.votes["annotator_id"])
    rows = (
        _row(files, row)
        | {
            "caption": captions[row["prompt_id"]],
            "user_id": numbers[row["annotator_id"]],
            "num_example_per_prompt": int(per_prompt[row["prompt_id"]]),
        }
        for row in records(asked)
    )
    write_rows(path, kinds, rows)


def _row(files: ImageFiles, row: dict[str, Any]) -> dict[str, Any]:
    """The left image first, as the annotator saw it."""
    sides = "ab" if row["left_model"] == row["model_a"] else "ba"
    label_a = _LABELS[row["winner"]]
    labels = [label_a if side == "a" else 1 - label_a for side in sides]
    images = [row[f"image_{side}"] for side in sides]
    best = "" if label_a == 0.5 else images[labels.index(1.0)]
    turned: dict[str, Any] = {
        "are_different": True,
        "best_image_uid": best,
        "created_at": row["created_at"],
        "has_label": True,
        "ranking_id": int(row["trial_id"].removeprefix("t")),
        "vote_source": row.get("vote_source"),
    }
    for number, (side, image_id) in enumerate(zip(sides, images, strict=True)):
        turned |= {
            f"image_{number}_uid": image_id,
            f"image_{number}_url": "",
            f"jpg_{number}": files.bytes_of(image_id),
            f"label_{number}": labels[number],
            f"model_{number}": row[f"model_{side}"],
        }
    return turned


def _numbers(names: pd.Series) -> dict[str, int]:
    """A number for each annotator, all of as many digits, so that they sort as the names do."""
    known = sorted(names.unique())
    first = 10 ** len(str(len(known)))
    return {name: first + number for number, name in enumerate(known, start=1)}
