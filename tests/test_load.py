"""benchmarks/load.py: a short run with few annotators, and what is said of what was measured."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import faults, load
from benchmarks.annotators import Habits
from benchmarks.kept import Kept
from benchmarks.studies import voting_study
from tests.study_server import free_port


def test_five_annotators_for_five_seconds_meet_no_error(tmp_path):
    folder = voting_study(tmp_path / "study", "sqlite", trials=60, viewing_size=64)
    habits = Habits(seconds=0.5, socket=True)
    found = load.load(folder, 5, 5.0, workers=1, habits=habits, port=free_port())
    assert not found.faults
    assert (found.kept.lost, found.kept.doubled, found.kept.altered) == (0, 0, 0)
    assert found.kept.unanswered == 0
    assert 0 < len(found.votes) <= found.kept.rows
    assert len(found.images) > 0
    assert found.image_bytes > 1000
    assert len(found.samples) >= 3
    assert found.samples[-1].processor > 0
    text = "\n".join(load.lines(found, "5 annotators", 0.1))
    assert "Errors: none. Votes lost 0, doubled 0, altered 0" in text
    assert "no error: reached" in text


def test_memory_that_grows_and_errors_are_said():
    """A straight line from 100 to 200 MiB: its second half rises 50 MiB around 175, by 28.6%."""
    samples = [load.Sample(float(at), int((100 + at) * 2**20), at / 2) for at in range(101)]
    assert load.growth(samples) == pytest.approx(50 / 175)
    assert load.growth([load.Sample(s.at, 2**27, 0.0) for s in samples]) == pytest.approx(0)
    votes = np.array([0.01] * 90 + [0.06] * 10)
    kept = Kept({("t", 1): "left"}, {("t", 1): "left"}, {}, 0)
    found = load.Load(100, votes, votes, 2e6, samples, 20.0, kept, load.Counter({"POST 500": 2}))
    text = "\n".join(load.lines(found, "some", 3.0))
    assert "| vote | 10.0 | 60.0 | 60.0 | 60.0 |" in text
    assert "Errors: POST 500: 2. Votes lost 1, doubled 0, altered 0 of 0." in text
    assert "the app 0.50 cores, the annotators 0.20" in text
    assert "Memory of the app by the minute, MiB: 100, 160, 200" in text
    for goal in ("(60.0)", "no error", "doubled", "(28.6%)"):
        assert f"{goal}: NOT reached" in text
    assert "Before it the load was 3.0" in text


def test_every_command_of_the_benchmarks_page_is_one():
    page = (Path(load.__file__).parent / "README.md").read_text("utf-8")
    given = re.findall(r"benchmarks/(load|faults)\.py([^`|]*)`", page)
    assert len(given) >= 4
    for name, words in given:
        {"load": load, "faults": faults}[name].arguments().parse_args(words.split())
