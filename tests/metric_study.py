"""Pairs, scores and votes for the tests of metrics against people."""

import numpy as np
import pandas as pd
from scipy.special import expit

from evalkit import tables
from evalkit.analysis.coding import CodedVotes
from evalkit.analysis.margins import margins
from evalkit.analysis.metric_votes import MetricVotes

NAMES = {"question_id": "quality", "metric": "m", "weights": "w"}


def pairs_of(rows):
    """Pairs from (pair_id, prompt_id, model_a, model_b), of seed 0; an image is model/prompt."""
    frame = pd.DataFrame(rows, columns=["pair_id", "prompt_id", "model_a", "model_b"])
    return frame.assign(
        seed=0,
        image_a=frame["model_a"] + "/" + frame["prompt_id"],
        image_b=frame["model_b"] + "/" + frame["prompt_id"],
    )


def scores_of(values, metric="m", weights="w"):
    """Scores from {model/prompt: score}."""
    frame = pd.DataFrame({"image_id": list(values), "score": list(values.values())})
    named = frame["image_id"].str.split("/", expand=True)
    return frame.assign(
        model=named[0], prompt_id=named[1], seed=0, metric=metric, weights=weights, truncated=False
    )


def votes_of(rows, pairs, question_id="quality"):
    """Comparisons from (annotator, pair_id, winner), winner being a, b, tie or both_bad."""
    winners = {"a": "model_a", "b": "model_b"}
    frame = pd.DataFrame(rows, columns=["annotator_id", "pair_id", "winner"])
    frame = frame.assign(
        winner=frame["winner"].map(lambda name: winners.get(name, name)), question_id=question_id
    )
    return frame.merge(pairs[["pair_id", "prompt_id", "model_a", "model_b"]], on="pair_id")


def random_study(seed, models=6, prompts=30, votes=3, annotators=9, ties=0.15, slope=1.0):
    """Comparisons and pairs with scores of images: votes by the difference of scores, as logits."""
    rng = np.random.default_rng(seed)
    names = [f"m{i}" for i in range(models)]
    rows = [
        (f"{a}-{b}-p{p}", f"p{p}", a, b)
        for p in range(prompts)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    pairs = pairs_of(rows)
    images = sorted({*pairs["image_a"], *pairs["image_b"]})
    better = {name: 0.4 * i for i, name in enumerate(names)}
    scores = {image: better[image.split("/")[0]] + rng.normal() for image in images}
    frame = pairs.loc[pairs.index.repeat(votes)].reset_index(drop=True)
    gap = frame["image_a"].map(scores) - frame["image_b"].map(scores)
    won = rng.random(len(frame)) < expit(slope * gap)
    tied = rng.random(len(frame)) < ties
    who = np.concatenate([rng.permutation(annotators)[:votes] for _ in range(len(pairs))])
    frame = frame.assign(
        annotator_id=[f"a{i}" for i in who],
        question_id="quality",
        winner=np.where(tied, "tie", np.where(won, "model_a", "model_b")),
    )
    columns = [name for name in tables.IMPORTED_VOTES.names if name in frame.columns]
    return frame[columns], pairs, scores_of(scores)


def judged(lead, won, prompt, annotator):
    """Decided votes of two models in codes: the lead of the first, and whether it won."""
    votes = CodedVotes(
        models=("x", "y"),
        first=np.zeros(len(lead), dtype=np.int64),
        second=np.ones(len(lead), dtype=np.int64),
        outcome=np.where(won, 0, 1),
        prompt=np.asarray(prompt),
        annotator=np.asarray(annotator),
        left=np.zeros(len(lead), dtype=np.int8),
    )
    return MetricVotes(NAMES, votes, np.asarray(lead, dtype=float), np.asarray(prompt), EMPTY)


EMPTY = margins(tables.PAIRS.empty())
