"""Votes on pairs of models for the tests of paired-comparison models."""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from evalkit.analysis.coding import CodedVotes
from evalkit.analysis.matchups import Matchups

SEPARATED = [("A", "B", 5, 0, 0), ("B", "C", 4, 3, 0), ("A", "C", 6, 0, 0)]
DISCONNECTED = [("A", "B", 3, 2, 0), ("C", "D", 4, 1, 0)]
ALL_TIES = [("A", "B", 0, 0, 9), ("B", "C", 0, 0, 9)]
ONE_VOTE = [("A", "B", 1, 0, 0)]

# Stigler 1994, citations among four journals of statistics; wins are citations received.
CITATIONS = [
    ("Biometrika", "Comm Statist", 730, 33, 0),
    ("Biometrika", "JASA", 498, 320, 0),
    ("Biometrika", "JRSS-B", 221, 284, 0),
    ("Comm Statist", "JASA", 68, 813, 0),
    ("Comm Statist", "JRSS-B", 17, 276, 0),
    ("JASA", "JRSS-B", 142, 325, 0),
]
JOURNALS = ["Biometrika", "Comm Statist", "JASA", "JRSS-B"]

# Agresti 2002, table 10.10: games of the 1987 American League East, won:lost by the team at home
# (rows) against each visitor (columns, in the same order).
TEAMS = ["Baltimore", "Boston", "Cleveland", "Detroit", "Milwaukee", "New York", "Toronto"]
HOME_GAMES = """
---  1:6 3:4 1:5 2:5 2:4 1:6
6:0  --- 5:2 2:5 5:1 4:2 3:3
2:4  4:2 --- 3:3 2:5 4:3 3:4
4:3  6:0 6:1 --- 3:3 4:3 4:2
6:0  6:1 4:2 4:3 --- 4:3 4:2
6:1  4:3 4:2 5:1 3:3 --- 2:5
6:0  4:3 4:2 4:3 2:5 2:4 ---
"""


def home_games():
    """The games as rows (at home, visitor, won, lost, tied, left): the team at home lies left."""
    rows = []
    for home, line in zip(TEAMS, HOME_GAMES.split("\n")[1:-1], strict=True):
        for visitor, score in zip(TEAMS, line.split(), strict=True):
            if home != visitor:
                rows.append((home, visitor, *map(int, score.split(":")), 0, 1))
    return rows


def matchups(names, table):
    """Counts from rows (first, second, won, lost, tied) or, with a side, (..., tied, left)."""
    rows = [(*row, 0)[:6] for row in table]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    first, second = ([names.index(name) for name in column] for column in columns[:2])
    won, lost, tied, left = columns[2:]
    return Matchups(tuple(names), np.array(first), np.array(second), left, won, lost, tied)


def comparisons(table, annotators=4, question_id="quality"):
    """One row per vote of (a, b, wins_a, wins_b, ties), prompts and annotators dealt in turn."""
    rows = []
    for model_a, model_b, wins_a, wins_b, ties in table:
        winners = ["model_a"] * wins_a + ["model_b"] * wins_b + ["tie"] * ties
        for i, winner in enumerate(winners):
            who, what = f"a{i % annotators}", f"p{i // annotators}"
            rows.append((who, what, question_id, model_a, model_b, winner))
    columns = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner"]
    return pd.DataFrame(rows, columns=columns)


def random_votes(seed, n=600, models=4, annotators=8, prompts=25, ties=0.2, position=0.0):
    """A table of votes with ties, a side and clusters; strengths fall from 0.6 to -0.6."""
    rng = np.random.default_rng(seed)
    names = np.array([f"m{i}" for i in range(models)])
    a = rng.integers(models, size=n)
    b = (a + rng.integers(1, models, size=n)) % models
    left_is_a = rng.random(n) < 0.5
    strengths = np.linspace(0.6, -0.6, models)
    gap = strengths[a] - strengths[b] + position * np.where(left_is_a, 1, -1)
    winner = np.where(rng.random(n) < expit(gap), "model_a", "model_b")
    neither = np.where(rng.random(n) < 0.5, "tie", "both_bad")
    return pd.DataFrame(
        {
            "annotator_id": [f"a{i}" for i in rng.integers(annotators, size=n)],
            "prompt_id": [f"p{i}" for i in rng.integers(prompts, size=n)],
            "question_id": "quality",
            "model_a": names[a],
            "model_b": names[b],
            "winner": np.where(rng.random(n) < ties, neither, winner),
            "left_model": np.where(left_is_a, names[a], names[b]),
        }
    )


def clustered_study(rng, truth, prompts=60, votes=4, annotators=16, shared=0.35):
    """Votes whose marginals are exactly Bradley-Terry and which share prompts and annotators.

    A vote is won where a normal value falls under the quantile of its probability; the value has
    variance 1, of which `shared` is the prompt's (per pair) and half as much the annotator's.
    """
    size = len(truth)
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    shape = (len(pairs), prompts, votes)
    pair, prompt, _ = (index.ravel() for index in np.indices(shape))
    annotator = np.argsort(rng.random((len(pairs), prompts, annotators)))[..., :votes].ravel()
    value = (
        np.sqrt(shared) * rng.standard_normal((len(pairs), prompts))[pair, prompt]
        + np.sqrt(shared / 2) * rng.standard_normal((len(pairs), annotators))[pair, annotator]
        + np.sqrt(1 - 1.5 * shared) * rng.standard_normal(len(pair))
    )
    first, second = np.array(pairs)[pair].T
    won = value < stats.norm.ppf(expit(truth[first] - truth[second]))
    return CodedVotes(
        models=tuple(f"m{i}" for i in range(size)),
        first=first,
        second=second,
        outcome=np.where(won, 0, 1),
        prompt=prompt,
        annotator=annotator,
        left=np.zeros(len(first), dtype=int),
    )
