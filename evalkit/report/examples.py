"""Example pairs: a seeded sample, the most disputed and the most one-sided, with their votes."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from evalkit.errors import StudyError
from evalkit.files import openable
from evalkit.report.results import Results

N_DRAWN, N_DISPUTED, N_ONE_SIDED = 6, 3, 3
THUMBNAIL = 320  # px, the longer side at most
CHOSEN = (
    f"{N_DRAWN} pairs drawn at random with the study's seed; then, of the rest, the {N_DISPUTED} "
    f"most disputed (votes within each question nearest to a draw) and the {N_ONE_SIDED} most "
    "one-sided (the largest share of votes on one side). Of equals, those with more votes come "
    "first. Repeats and attention checks do not count."
)


@dataclass(frozen=True)
class PairVotes:
    """The votes on one pair and one question."""

    question_id: str
    for_a: int
    for_b: int
    ties: int
    both_bad: int


@dataclass(frozen=True)
class Example:
    """One pair with its prompt, its two images (data URIs), its votes and why it is shown."""

    why: str
    prompt: str
    category: str
    seed: int
    model_a: str
    model_b: str
    image_a: str
    image_b: str
    tallies: list[PairVotes]


def choose_examples(results: Results) -> list[Example]:
    """The example pairs, drawn ones first; none where the comparisons do not name their pairs."""
    votes = results.comparisons
    if "pair_id" not in votes.columns:
        return []
    votes = votes[(votes["kind"] == "main") & votes["pair_id"].isin(results.pairs["pair_id"])]
    chosen = choose_pairs(votes, results.study.seed)
    pairs = results.pairs.set_index("pair_id")
    return [
        _example(results, pairs.loc[pair_id], why, votes[votes["pair_id"] == pair_id])
        for pair_id, why in chosen
    ]


def choose_pairs(votes: pd.DataFrame, seed: int) -> list[tuple[str, str]]:
    """(pair_id, why) of the pairs to show, each once; `votes` as in `tables.COMPARISONS`."""
    counts = pd.crosstab([votes["pair_id"], votes["question_id"]], votes["winner"])
    counts = counts.reindex(columns=["model_a", "model_b"], fill_value=0)
    margins = pd.DataFrame(
        {
            "lead": (counts["model_a"] - counts["model_b"]).abs(),  # within one question
            "decided": counts["model_a"] + counts["model_b"],
        }
    )
    pairs = margins.groupby("pair_id").sum().sort_index()
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(pairs.index.to_numpy())[:N_DRAWN].tolist()
    rest = pairs.drop(index=drawn)
    rest = rest[rest["decided"] > 0]
    rest = rest.assign(margin=rest["lead"] / rest["decided"])
    disputed = rest[rest["margin"] < 1]
    disputed = disputed.sort_values(["margin", "decided"], ascending=[True, False], kind="stable")
    disputed = disputed.index[:N_DISPUTED].tolist()
    rest = rest.drop(index=disputed)
    one_sided = rest.sort_values(["margin", "decided"], ascending=False, kind="stable")
    one_sided = one_sided.index[:N_ONE_SIDED].tolist()
    return [
        *((pair_id, "drawn at random") for pair_id in drawn),
        *((pair_id, "most disputed") for pair_id in disputed),
        *((pair_id, "most one-sided") for pair_id in one_sided),
    ]


def thumbnail(path: Path, side: int = THUMBNAIL, again: str = "evalkit generate") -> str:
    """The image as a data URI, its longer side at most `side` px.

    StudyError if it cannot be read; `again` is the command that makes it.
    """
    try:
        with Image.open(openable(path)) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise StudyError(
            f"{path}: the image cannot be read ({error}); make it again with: {again}"
        ) from None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = BytesIO()
    image.save(stream, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _example(results: Results, pair: pd.Series, why: str, votes: pd.DataFrame) -> Example:
    prompt = results.prompts.set_index("prompt_id").loc[pair["prompt_id"]]
    files = results.images.set_index("image_id")["file_name"]
    images = results.folder.images
    return Example(
        why=why,
        prompt=prompt["prompt"],
        category=prompt["category"],
        seed=int(pair["seed"]),
        model_a=pair["model_a"],
        model_b=pair["model_b"],
        image_a=thumbnail(images / files[pair["image_a"]]),
        image_b=thumbnail(images / files[pair["image_b"]]),
        tallies=[
            _tally(question_id, votes[votes["question_id"] == question_id])
            for question_id in results.question_ids
        ],
    )


def _tally(question_id: str, votes: pd.DataFrame) -> PairVotes:
    counts = votes["winner"].value_counts()
    a, b, ties, both_bad = (
        int(counts.get(winner, 0)) for winner in ("model_a", "model_b", "tie", "both_bad")
    )
    return PairVotes(question_id, a, b, ties, both_bad)
