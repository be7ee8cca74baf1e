"""Preference pairs: the image that most votes were for, and the one that they were against."""

from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.exports.cards import preference_card
from evalkit.exports.image_rows import IMAGE, ImageFiles, kinds_of, records, write_rows
from evalkit.exports.published import Published
from evalkit.exports.written import Written
from evalkit.files import write_text

FILE = "data/train.parquet"
NO_MAJORITY = "pairs with as many votes for one image as for the other"


def write_preferences(content: Published, target: Path) -> Written:
    """Write a row per pair of images and question that has a majority, and the card.

    Columns prompt, chosen and rejected (images), then those of `majorities`.
    """
    found, even = majorities(content)
    files = ImageFiles(content)
    kinds = {"prompt": "string", "chosen": IMAGE, "rejected": IMAGE, **kinds_of(found)}
    write_rows(target / FILE, kinds, (_row(files, row) for row in records(found)))
    left_out = {NO_MAJORITY: even} if even else {}
    write_text(target / "README.md", preference_card(content, left_out))
    return Written({FILE: len(found)}, left_out)


def majorities(content: Published) -> tuple[pd.DataFrame, int]:
    """A row per pair of images and question with a majority, and how many pairs have none.

    Columns prompt, question_id, question, image_chosen, image_rejected, model_chosen,
    model_rejected, votes_for and votes_against (the chosen image), ties, both_bad, margin
    (votes_for less votes_against, over all votes on the pair), pair_id, prompt_id, category,
    challenge, seed.
    Only main votes that no rule sets aside count.
    """
    votes = content.counted()
    counts = pd.crosstab([votes["question_id"], votes["pair_id"]], votes["winner"])
    counts = counts.reindex(columns=list(tables.WINNERS), fill_value=0).reset_index()
    pairs = content.pairs.merge(
        content.prompts[["prompt_id", "prompt", "category", "challenge"]], on="prompt_id"
    )
    joined = counts.rename(columns={"model_a": "votes_a", "model_b": "votes_b"}).merge(
        pairs, on="pair_id", validate="m:1"
    )
    has_majority = joined["votes_a"] != joined["votes_b"]
    decided = joined[has_majority].reset_index(drop=True)
    questions = {question.id: question.text for question in content.folder.study.questions}
    a_won = decided["votes_a"] > decided["votes_b"]
    found = pd.DataFrame(
        {
            "prompt": decided["prompt"],
            "question_id": decided["question_id"],
            "question": decided["question_id"].map(questions),
            **_sides(decided, a_won, "image"),
            **_sides(decided, a_won, "model"),
            "votes_for": decided[["votes_a", "votes_b"]].max(axis=1),
            "votes_against": decided[["votes_a", "votes_b"]].min(axis=1),
            "ties": decided["tie"],
            "both_bad": decided["both_bad"],
        }
    )
    n = found[["votes_for", "votes_against", "ties", "both_bad"]].sum(axis=1)
    found["margin"] = (found["votes_for"] - found["votes_against"]) / n
    names = ["pair_id", "prompt_id", "category", "challenge", "seed"]
    found = pd.concat([found, decided[names]], axis=1)
    return tables.label_simulated(found, content.simulated), int((~has_majority).sum())


def _sides(decided: pd.DataFrame, a_won: pd.Series, what: str) -> dict[str, pd.Series]:
    a, b = decided[f"{what}_a"], decided[f"{what}_b"]
    return {f"{what}_chosen": a.where(a_won, b), f"{what}_rejected": b.where(a_won, a)}


def _row(files: ImageFiles, row: dict[str, Any]) -> dict[str, Any]:
    images = {side: files.cell(row[f"image_{side}"]) for side in ("chosen", "rejected")}
    return {**row, **images}
