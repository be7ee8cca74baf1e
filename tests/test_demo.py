"""The demo as `make demo` runs it: the whole chain on the built-in models, in one real process."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.demo import POPULATION, QUALITY
from tests.study_server import StudyAddress, free_port


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "demo", str(folder)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_every_model_makes_every_image(demo):
    folder, _ = demo
    images = tables.read(folder / "images.csv", tables.IMAGES)
    assert images.groupby("model").size().to_dict() == {
        "scenes-base": 48,  # 24 prompts x 2 seeds
        "scenes-lcm": 48,
        "scenes-turbo": 48,
    }
    assert (images["status"] == "ok").all()
    assert images.groupby(["prompt_id", "seed"]).size().eq(3).all()


def test_every_pair_and_question_gets_its_votes(demo):
    folder, _ = demo
    comparisons = tables.read(folder / "analysis" / "comparisons.csv", tables.COMPARISONS)
    main = comparisons[comparisons["kind"] == "main"]
    votes = main.groupby(["question_id", "pair_id"])["annotator_id"].agg(["size", "nunique"])
    assert len(votes) == 2 * 3 * 48  # questions x pairs of models x (prompts x seeds)
    assert votes["size"].eq(4).all()
    assert votes["nunique"].eq(4).all()


def test_simulated_votes_are_called_so_everywhere(demo):
    folder, output = demo
    assert tables.SIMULATED in output
    for name in ("comparisons", "win_rates", "ratings", "scores", "speed"):
        frame = pd.read_csv(folder / "analysis" / f"{name}.csv")
        assert frame["vote_source"].eq(tables.SIMULATED).all(), name
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert page.count(tables.SIMULATED) >= 5
    with sqlite3.connect(folder / "votes.sqlite") as store:
        assert store.execute("select min(simulated), count(*) from annotators").fetchone()[0] == 1


def expected_win_rate(gap):
    """The win rate, ties half, of a model whose stated strength is larger by `gap` (log-odds).

    Averaged over prompts' and annotators' effects, and with those who do not look.
    """
    people = POPULATION
    sd = np.sqrt(people.prompt_sd**2 + people.annotator_sd**2)
    gaps = gap + sd * np.random.default_rng(0).normal(size=200_000)
    won, lost, tied = np.exp(gaps / 2), np.exp(-gaps / 2), people.tie_weight
    share = np.mean((won + tied / 2) / (won + lost + tied))
    return (1 - people.careless_share) * share + people.careless_share / 2


def test_the_stated_strengths_come_out_again(demo):
    """Quality was simulated from stated strengths: base over turbo over LCM."""
    folder, _ = demo
    rates = tables.read(folder / "analysis" / "win_rates.csv", tables.WIN_RATES)
    quality = rates[rates["question_id"] == "quality"]
    assert len(quality) == 3
    for row in quality.itertuples():
        expected = expected_win_rate(QUALITY[row.model_a] - QUALITY[row.model_b])
        # 1.7 half-widths of a 95% interval: 1 in 1,000 of such intervals is farther off.
        assert abs(row.win_rate_a - expected) < 1.7 * (row.ci_high - row.ci_low) / 2
    ratings = tables.read(folder / "analysis" / "ratings.csv", tables.RATINGS)
    last = ratings[ratings["question_id"] == "quality"].sort_values("rating")["model"].iloc[0]
    assert last == "scenes-lcm"
    checks = json.loads((folder / "analysis" / "summary.json").read_text())["attention"]
    assert checks["n"] > 20
    assert checks["share"] > 0.9


def test_the_page_stands_alone(demo):
    page = (demo[0] / "report" / "index.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert len(page) < 20_000_000


def test_a_second_run_goes_on_where_the_first_ended(demo):
    folder, _ = demo
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "images").rglob("*.png")}
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "demo", str(folder)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = {p.name: p.stat().st_mtime_ns for p in (folder / "images").rglob("*.png")}
    assert after == before
    with sqlite3.connect(folder / "votes.sqlite") as store:
        trials, votes = (store.execute(f"select count(*) from {t}").fetchone()[0]
                         for t in ("trials", "votes"))  # fmt: skip
    assert trials == votes


def read_until(terminal, pattern, seen=""):
    """What the terminal shows until the pattern stands in it."""
    while not re.search(pattern, seen):
        seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


def test_on_a_terminal_the_reader_votes_and_gets_a_report(demo):
    folder, _ = demo
    port = free_port()
    process, terminal = pty.fork()
    if process == 0:
        command = [sys.executable, "-m", "evalkit.cli", "demo", str(folder), "--port", str(port)]
        os.execve(sys.executable, command, {**os.environ, "COLUMNS": "400"})
    shown = read_until(terminal, r"token=\S+\s[\s\S]*Annotators vote at")
    visitor = StudyAddress(port).visitor(re.search(r"token=\S+", shown).group())
    state = visitor.skip_practice(visitor.begin())
    for choice in ("left", "right", "left", "tie"):
        state = visitor.vote_on(state, choice)
    os.kill(process, signal.SIGINT)
    shown = read_until(terminal, r"Report of your votes: \S+index.html", shown)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    page = folder.parent.glob("demo-yours-*/report/index.html")
    text = next(page).read_text("utf-8")
    assert tables.SIMULATED not in text
    assert "one annotator" in text
