"""The Ray engine, on a real cluster of this machine: the same images, whoever makes them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evalkit.errors import EvalkitError, ModelError, StudyError
from evalkit.generation import engines, generate
from evalkit.generation import ray as engine
from evalkit.generation.task import Options, Task
from evalkit.presets import init_study
from evalkit.study_folder import open_study
from tests.generated import hashes, strokes, without_times
from tests.miniatures import small, study_file

ROOT = Path(__file__).parents[1]
ray = engine.ray


@pytest.fixture(scope="module")
def cluster():
    """A cluster of four cores, whatever this machine has; runs in this process use it."""
    ray.init(
        "local",
        num_cpus=4,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
    )
    yield
    ray.shutdown()


def pids() -> set[int]:
    """Process ids of the workers, as Ray knows them (its public list needs the dashboard)."""
    actors = ray._private.state.actors().values()
    return {actor["Pid"] for actor in actors if actor["State"] == "ALIVE"}


def drawn(root, n_prompts=12, **changes):
    models = {"light": strokes(**changes), "dark": strokes(shade=1, **changes)}
    return study_file(
        root, models, prompts=tuple(f"thing {i}" for i in range(n_prompts)), seeds=(0,)
    )


def set_ups(folder):
    """What made the images, without what a loading took."""
    return {
        path.name: {**json.loads(path.read_text()), "load_seconds": None}
        for path in folder.images.glob("*/run-*.json")
    }


def test_two_workers_make_the_bytes_of_one_process(cluster, tmp_path):
    """The built-in models; an image depends on its batch, and batches are the same."""
    folders = []
    for name in ("local", "ray"):
        file = init_study(tmp_path / name, "scenes")
        text = file.read_text().replace("n = 24", "n = 5")
        file.write_text(re.sub(r'name = "\w+"', 'name = "same"', text, count=1))
        folders.append(open_study(tmp_path / name))
    local, remote = folders
    expected = generate(local, engine="local", batch_size=2)
    calls = []
    found = generate(
        remote, engine="ray", workers=2, batch_size=2, progress=lambda *call: calls.append(call)
    )
    assert len(expected) == 30
    assert without_times(found) == without_times(expected)
    assert hashes(remote) == hashes(local)
    assert set_ups(remote) == set_ups(local)
    assert calls[-1] == (30, 30, "scenes-turbo")
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    written = {path: path.stat().st_mtime_ns for path in remote.images.rglob("*.png")}
    assert without_times(generate(remote, engine="ray")) == without_times(found)
    assert {path: path.stat().st_mtime_ns for path in remote.images.rglob("*.png")} == written


def test_batches_of_odd_size_are_the_same_with_two_workers(cluster, tmp_path):
    """Two seeds in batches of three: a prompt's two go together, whoever makes them."""
    models = {"lcm": {"catalogue": "scenes-lcm"}, "light": strokes()}
    prompts = ("a red circle", "two blue squares", "a green star", "a big yellow triangle", "a dot")
    local, remote = (
        study_file(tmp_path / name, models, prompts=prompts) for name in ("local", "ray")
    )
    expected = generate(local, batch_size=3)
    found = generate(remote, engine="ray", workers=2, batch_size=3)
    assert without_times(found) == without_times(expected)
    assert set_ups(remote) == set_ups(local)
    for row in (1, 6, 7):
        (remote.images / found["file_name"].iloc[row]).unlink()
    generate(remote, engine="ray", workers=2)  # with one GPU's default it would be other batches
    assert hashes(remote) == hashes(local)


def test_workers_that_would_make_otherwise_than_each_other_are_refused(
    cluster, tmp_path, monkeypatch
):
    """Each has its own copy of the checkpoint, as of another day."""

    class Strange(engine.RemoteWorker):
        def load(self, *given):
            made_with, size = super().load(*given)
            return {**made_with, "commit": f"of {os.getpid()}"}, size

    monkeypatch.setattr(engine, "RemoteWorker", Strange)
    folder = drawn(tmp_path / "study", n_prompts=30, seconds=0.2)
    said = (
        r"models.light: a worker makes images with commit of \d+, and another with commit of \d+;"
    )
    with pytest.raises(ModelError, match=said):
        generate(folder, engine="ray", workers=2, batch_size=1)
    assert len(folder.read_images()) < 60


def test_a_worker_loads_and_renders_on_one_thread(cluster, tmp_path):
    """PyTorch's CUDA graphs are of the thread that made them."""
    models = {
        name: strokes("show_threads", folder=str(tmp_path), shade=shade)
        for shade, name in enumerate(["one", "two"])
    }
    prompts = tuple(f"thing {i}" for i in range(10))
    folder = study_file(tmp_path / "study", models, prompts=prompts)
    assert len(generate(folder, engine="ray", workers=1, batch_size=1)) == 40
    assert len(list(tmp_path.glob("thread-*"))) == 1


@pytest.fixture
def busy(cluster, monkeypatch):
    """Somebody else's work on all cores of the cluster, and no patience here."""
    monkeypatch.setattr(engine, "_LOOK_AGAIN", 0.1)
    monkeypatch.setattr(engine, "_SAY_AFTER", 0.3)

    @ray.remote(num_cpus=4)
    class Other:
        def works(self):
            return True

    other = Other.remote()
    assert ray.get(other.works.remote())
    yield other
    ray.kill(other)


def test_a_wait_for_the_cluster_is_told(busy, tmp_path):
    lines = []

    def say(line):
        lines.append(line)
        ray.kill(busy)

    folder = drawn(tmp_path / "study")
    assert len(generate(folder, engine="ray", workers=2, say=say)) == 24
    assert lines == [
        "waiting for 2 cores of the Ray cluster, which others use or which are gone; "
        "0 workers are at work"
    ]


def test_a_wait_for_the_cluster_has_an_end(busy, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_GIVE_UP_AFTER", 1.2)
    lines = []
    folder = drawn(tmp_path / "study")
    with pytest.raises(StudyError, match="the Ray cluster gave no worker a place in .*ray status"):
        generate(folder, engine="ray", workers=2, say=lines.append)
    assert len(lines) == 1
    assert not list(folder.images.glob(".*.part"))


def test_a_failure_of_the_cluster_is_one_sentence(cluster, tmp_path, monkeypatch):
    """The machine that the workers are to run on is not one of the cluster."""
    nowhere = NodeAffinitySchedulingStrategy("0f" * 28, soft=False)
    placement = engine._placement

    def elsewhere(options):
        wanted, place = placement(options)
        return wanted, {**place, "scheduling_strategy": nowhere}

    monkeypatch.setattr(engine, "_placement", elsewhere)
    with pytest.raises(
        StudyError, match=r"the Ray cluster failed \(ActorUnschedulableError: .*kept"
    ):
        generate(drawn(tmp_path / "study"), engine="ray", workers=1)


def test_killed_workers_lose_nothing(cluster, tmp_path):
    """kill -9 of a worker's process, three times on the way."""
    whole, folder = drawn(tmp_path / "whole", seconds=0.08), drawn(tmp_path / "study", seconds=0.08)
    expected = generate(whole)
    killed = []

    def kill():
        for wanted in (3, 9, 15):
            while len(hashes(folder)) < wanted:
                time.sleep(0.01)
            victim = next(iter(pids() - set(killed)), None)
            if victim is not None:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    found = generate(folder, engine="ray", workers=2, batch_size=1)
    killer.join(timeout=30)
    assert len(killed) == 3
    assert without_times(found) == without_times(expected)
    assert hashes(folder) == hashes(whole)


def test_a_model_whose_workers_always_die_is_one_sentence_and_others_go_on(cluster, tmp_path):
    models = {"deadly": strokes("die"), "light": strokes()}
    folder = study_file(tmp_path / "study", models)
    with pytest.raises(ModelError, match="models.deadly: 3 workers died on the batch of image"):
        generate(folder, engine="ray", workers=2)
    assert folder.read_images()["model"].value_counts().to_dict() == {"light": 6}


def test_errors_come_as_they_do_from_one_process(cluster, tmp_path):
    models = {
        "dark": strokes(shade=1),
        "absent": small("sdxl", tmp_path / "nowhere"),
        "wrong": strokes("wrong"),
        "light": strokes(),
    }
    folder = study_file(tmp_path / "study", models)
    said = []
    for name in ("local", "ray"):
        with pytest.raises(ModelError) as caught:
            generate(folder, engine=name)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "models.absent: " in said[0]
    assert "models.wrong: tests.strokes:wrong: failed (ValueError: never)" in said[0]
    assert folder.read_images()["model"].value_counts().to_dict() == {"dark": 6, "light": 6}


def test_a_disk_that_refuses_is_one_sentence(cluster, tmp_path):
    folder = drawn(tmp_path / "study")
    (folder.images / "light").mkdir(parents=True)
    target = (folder.images / "light" / folder.study.models[0].image_id("thing 0", 0)).with_suffix(
        ".png"
    )
    target.mkdir()
    with pytest.raises(StudyError, match=r"cannot be read or written \(Is a directory\)"):
        generate(folder, engine="ray", workers=2)
    target.rmdir()
    assert (generate(folder, engine="ray", workers=2)["status"] == "ok").all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "ray", "workers": 99}, "99 workers, and the Ray cluster has 4 cores"),
        ({"engine": "ray", "device": "cuda"}, "0 workers, and the Ray cluster has 0 GPUs"),
        ({"engine": "ray", "device": "cuda:1"}, "--device cuda:1 names one device"),
        ({"engine": "local", "workers": 2}, "--workers and --address are for Ray"),
        ({"engine": "slurm"}, 'engine "slurm"; allowed are local, ray'),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(cluster, tmp_path, options, said):
    folder = drawn(tmp_path / "study")
    before = sorted(folder.root.rglob("*"))
    with pytest.raises(EvalkitError, match=re.escape(said)):
        generate(folder, **options)
    assert [path for path in sorted(folder.root.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]


def test_a_worker_that_does_not_see_the_images_says_where_to_put_them(
    cluster, tmp_path, monkeypatch
):
    """On another machine, the study folder is not there, or is another one."""
    folder = drawn(tmp_path / "study")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which a worker sets for its process
    worker = engine.RemoteWorker("1")
    with pytest.raises(StudyError, match=r"does not see this folder; give \[images\] an address"):
        worker.load(folder, folder.study.models[0], None, ".sign")
    (folder.images).mkdir()
    (folder.images / ".sign").touch()
    assert worker.load(folder, folder.study.models[0], None, ".sign")[1] == 16  # as on any CPU


_ON_TWO_GPUS = """
import sys
from pathlib import Path
from evalkit.generation import generate
from evalkit.generation.ray import ray
from evalkit.study_folder import open_study
ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False,
         object_store_memory=80 * 2**20)
generate(open_study(Path(sys.argv[1])), engine="ray", batch_size=1)
ray.shutdown()
"""


def test_each_worker_sees_a_gpu_of_its_own(tmp_path):
    """Ray is told of two GPUs; a worker's process is told of one of them."""
    models = {
        name: strokes("show_gpus", folder=str(tmp_path), seconds=0.3, shade=shade)
        for shade, name in enumerate(["one", "two"])
    }
    folder = study_file(tmp_path / "study", models)
    subprocess.run(
        [sys.executable, "-c", _ON_TWO_GPUS, str(folder.root)], cwd=ROOT, check=True, timeout=120
    )
    assert (folder.read_images()["status"] == "ok").all()
    assert {path.read_text() for path in tmp_path.glob("gpu-of-*")} == {"0", "1"}
    assert len(list(tmp_path.glob("gpu-of-*"))) == 2  # processes, kept from model to model


def test_without_the_package_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_has_ray", lambda: False)
    with pytest.raises(EvalkitError, match=re.escape('pip install "evalkit[ray]"')):
        generate(drawn(tmp_path / "study"), engine="ray")


@pytest.mark.parametrize(
    ("gpus", "has_ray", "device", "engine_name", "said"),
    [
        (1, True, None, "local_engine", []),
        (4, True, None, "ray_engine", ["4 GPUs, with a worker on each (--engine ray)"]),
        (4, True, "cuda:2", "local_engine", []),
        (
            4,
            False,
            None,
            "local_engine",
            ['1 of 4 GPUs is used; for all of them: pip install "evalkit[ray]"'],
        ),
    ],
)
def test_several_gpus_are_all_used(
    made, tmp_path, monkeypatch, gpus, has_ray, device, engine_name, said
):
    monkeypatch.setattr(engines, "count_gpus", lambda: gpus)
    monkeypatch.setattr(engines, "_has_ray", lambda: has_ray)
    folder = study_file(
        tmp_path / "study", {"turbo": small("sd-turbo", made["sd_turbo"]), "l": strokes()}
    )
    tasks = [Task(folder, spec, None) for spec in folder.study.models]
    lines = []
    chosen = engines.choose_engine(tasks, Options(device=device), lines.append)
    assert chosen.__name__ == engine_name
    assert lines == said


def test_the_command_starts_a_cluster_of_its_own_and_says_nothing_of_it(tmp_path):
    folder = drawn(tmp_path / "study", 3)
    options = ["--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "RAY_ADDRESS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"6 images (6 ok) in {folder.images}\n"
    assert done.stderr.count("\n") <= 1  # the bar, in its last state


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path):
    folder = drawn(tmp_path / "study", 3)
    options = ["--engine", "ray", "--address", "127.0.0.1:1"]
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("evalkit: generate: no Ray cluster can be used at 127.0.0.1:1")
    assert done.stderr.count("\n") == 1
