"""Scoring on Ray, on a real cluster of this machine: the same scores, whoever computes them."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evalkit import cluster as cluster_module
from evalkit.errors import ModelError, StudyError
from evalkit.generation import generate
from evalkit.presets import init_study
from evalkit.scoring import ray as engine
from evalkit.scoring import score
from evalkit.study_folder import StudyFolder, open_study

ray = cluster_module.ray


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two cores, whatever this machine has; runs in this process use it."""
    ray.init(
        "local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False,
        object_store_memory=80 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Twelve images of the built-in models."""
    root = tmp_path_factory.mktemp("ray") / "study"
    file = init_study(root, "scenes")
    file.write_text(file.read_text().replace("n = 24", "n = 2"))
    folder = open_study(root)
    generate(folder)
    return folder


def pids() -> set[int]:
    """Process ids of the workers, as Ray knows them (its public list needs the dashboard)."""
    actors = ray._private.state.actors().values()
    return {actor["Pid"] for actor in actors if actor["State"] == "ALIVE"}


def test_two_workers_give_the_scores_of_one_process_though_one_is_killed(
    cluster, folder, tmp_path, monkeypatch
):
    local = score(folder, batch_size=2)
    shutil.rmtree(folder.cache)
    monkeypatch.setattr(engine, "_AT_ONCE", 2)
    killed: list[int] = []
    seen: set[int] = set()

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            seen.update(pids())
            if list(folder.cache.rglob("scores/*.npz")) and pids():
                victim = min(pids())
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    remote = score(folder, engine="ray", workers=2, batch_size=2)
    killer.join(timeout=60)
    assert killed
    assert len(seen) >= 2
    pd.testing.assert_frame_equal(remote.drop(columns=["score", "cosine"]),
                                  local.drop(columns=["score", "cosine"]))  # fmt: skip
    assert np.abs(remote["score"] - local["score"]).max() < 1e-4
    assert score(folder, engine="ray", workers=2)["score"].tolist() == remote["score"].tolist()


def test_what_a_worker_raises_is_one_sentence(cluster, folder, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"has no open_clip_config\.json"):
        score(folder, weights=str(empty), engine="ray", workers=1)
    with pytest.raises(StudyError, match="score: 9 workers, and the Ray cluster has 2 cores"):
        score(folder, weights=str(empty), engine="ray", workers=9)
