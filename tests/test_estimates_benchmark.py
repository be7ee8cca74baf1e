"""benchmarks/estimates.py: contenders agree, and what is said follows from the figures."""

import re

import numpy as np
import pandas as pd

from benchmarks import estimates, large_votes, peers
from evalkit.vote_files import read_votes


def test_contenders_that_are_here_agree():
    lines = estimates.bradley_terry(rounds=1, n=5000)
    rows = [line for line in lines if line.startswith("| ") and "evalkit |" not in line]
    furthest = [float(row.split("|")[-2]) for row in rows if "e-" in row or "e+" in row]
    assert "choix, counts" in peers.installed()
    assert len(furthest) >= 1
    assert max(furthest) < 1e-6


def test_a_verdict_follows_from_the_figures():
    said = estimates._verdict(49.0, {"evalkit": 1.0, "evalica, rows": 19.9, "arena-rank": 25.0})
    assert "at most 50 CPU ms: reached (49)" in said
    assert "than evalica, rows: missed (19.9)" in said
    assert "than arena-rank: reached (25.0)" in said
    assert estimates._verdict(51.0, {}) == "Goals: at most 50 CPU ms: missed (51)."


def test_generated_votes_are_votes_and_the_command_takes_them(tmp_path):
    path = tmp_path / "votes.parquet"
    large_votes.generate(path, 3000)
    votes = read_votes(path)
    assert len(votes) == 3000
    assert votes["model_a"].nunique() == large_votes.MODELS
    assert votes["question_id"].nunique() == 2
    assert set(votes["winner"]) == {"model_a", "model_b", "tie", "both_bad"}
    pairs = votes.groupby(["model_a", "model_b"]).size()
    assert len(pairs) == large_votes.MODELS * (large_votes.MODELS - 1)
    found = large_votes.run(path, tmp_path / "tables", 3000, "--out-of-core")
    assert found.cpu > 0
    assert 0.05 < found.gb < 2
    rates = pd.read_csv(tmp_path / "tables" / "win_rates.csv")
    assert rates["n"].sum() == 3000


def test_intervals_and_elo_say_their_times():
    for lines in (estimates.intervals(1, n=2000), estimates.elo(1, n=300)):
        figures = [float(x) for line in lines for x in re.findall(r"\| ([\d.]+) \(", line)]
        assert figures
        assert np.isfinite(figures).all()
