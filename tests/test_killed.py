"""The command itself, stopped by every means that a machine has; the next run completes the set."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from evalkit import files
from evalkit.errors import StudyError
from evalkit.generation import generate
from evalkit.study_folder import StudyFolder
from tests.generated import hashes, strokes, without_times
from tests.miniatures import study_file

ROOT = Path(__file__).parents[1]


def study(root: Path, n_prompts: int = 20, **changes: object) -> StudyFolder:
    """Two models of strokes; an image does not depend on its batch."""
    models = {"light": strokes(**changes), "dark": strokes(shade=1, **changes)}
    return study_file(
        root, models, prompts=tuple(f"thing {i}" for i in range(n_prompts)), seeds=(0,)
    )


def command(folder: StudyFolder, *options: str, **how: object) -> subprocess.Popen:
    """`evalkit generate`, started as a user starts it."""
    arguments = [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root), *options]
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


def assert_same(folder: StudyFolder, whole: StudyFolder) -> None:
    """Byte for byte the same images, the same tables, and nothing beside them."""
    assert hashes(folder) == hashes(whole)
    assert without_times(folder.read_images()) == without_times(whole.read_images())
    assert (folder.read_images()["status"] == "ok").all()
    assert not [*folder.root.rglob("*.part")]
    assert names(folder) == names(whole)


def names(folder: StudyFolder) -> set[Path]:
    """All files but those of set-ups, of which there is one per size of batch."""
    found = {path.relative_to(folder.root) for path in folder.root.rglob("*")}
    return {path for path in found if not path.match("run-*.json")}


def assert_whole_files(folder: StudyFolder) -> None:
    """What lies there under its own name can be decoded."""
    for path in folder.images.rglob("*.png"):
        with Image.open(path) as image:
            image.load()


def test_killed_at_twenty_random_moments_the_set_is_that_of_one_run(tmp_path):
    """kill -9, from just after the start to the end, on one study again and again.

    Five moments are of the clock, fifteen a random number of files later: a machine that is slow
    to start is killed in the midst of its work, too.
    """
    whole, folder = (study(tmp_path / name, 300, seconds=0.004) for name in ("whole", "killed"))
    generate(whole)
    rng = random.Random(20)
    killed, counts = 0, []
    for number in range(20):
        before = n_files(folder)
        process = command(folder, "--batch-size", "4")
        if number % 4 == 0:
            time.sleep(rng.uniform(0.05, 1.5))
        else:
            wanted = before + rng.randint(1, 80)
            while n_files(folder) < wanted and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        counts.append(len(hashes(folder)))
        assert_whole_files(folder)
    assert killed >= 15
    assert counts == sorted(counts)  # what was made stays
    assert len({count for count in counts if 0 < count < 600}) >= 10
    process = command(folder)
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert out == f"600 images (600 ok) in {folder.images}\n"
    assert_same(folder, whole)


def test_a_killed_run_of_the_built_in_models_goes_on_byte_for_byte(tmp_path):
    """An image's last bits depend on what shares its call: that is the same after every kill."""
    models = {"lcm": {"catalogue": "scenes-lcm"}, "turbo": {"catalogue": "scenes-turbo"}}
    prompts = tuple(f"{n} {colour} circles" for n in NUMBERS for colour in COLOURS)
    whole, folder = (
        study_file(tmp_path / name, models, prompts=prompts) for name in ("whole", "killed")
    )
    generate(whole, batch_size=8)
    rng, killed = random.Random(5), 0
    for _ in range(4):
        wanted = n_files(folder) + rng.randint(3, 20)
        process = command(folder, "--batch-size", "8")  # also of a model that had not begun
        while n_files(folder) < wanted and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        assert_whole_files(folder)
    assert killed >= 3
    assert 0 < len(hashes(folder)) < 60
    generate(folder, batch_size=8)
    assert_same(folder, whole)


NUMBERS = ("two", "three", "four")
COLOURS = ("red", "blue", "green", "yellow", "black")


def n_files(folder: StudyFolder) -> int:
    """Images, records and parts of them."""
    return sum(len(list(os.scandir(place))) for place in folder.images.glob("*"))


def test_ctrl_c_ends_at_once_with_whole_files(tmp_path):
    whole, folder = study(tmp_path / "whole", seconds=0.05), study(tmp_path / "study", seconds=0.05)
    generate(whole)
    process = command(folder, "--batch-size", "2")
    while len(hashes(folder)) < 5 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    listed = folder.read_images()
    assert 5 <= len(listed) < 40
    assert set(listed["file_name"]) == set(hashes(folder))  # the tables tell how far it came
    generate(folder)
    assert_same(folder, whole)


def refused(process: subprocess.Popen) -> str:
    """The one sentence with which the command ended."""
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    said = error.strip().splitlines()[-1]
    assert said.startswith("evalkit: ")
    assert "Traceback" not in error
    return said


def test_a_file_that_the_system_refuses_stops_the_run_with_one_sentence(tmp_path):
    """A limit of the operating system, on the size of a file, that half of the images break."""
    whole, folder = study(tmp_path / "whole", 6), study(tmp_path / "study", 6)
    generate(whole)
    sizes = sorted(path.stat().st_size for path in whole.images.rglob("*.png"))
    limit = (sizes[len(sizes) // 2], resource.RLIM_INFINITY)
    said = refused(
        command(folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    )
    assert "cannot be read or written (File too large); what is made is kept" in said
    assert_whole_files(folder)
    assert not [*folder.root.rglob("*.part")]
    generate(folder)
    assert_same(folder, whole)


@contextmanager
def small_disk(place: Path, size: str):
    """A file system in memory of this size; skipped where that is not permitted."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_stops_the_run_with_one_sentence(tmp_path):
    whole = study(tmp_path / "whole")
    generate(whole)
    with small_disk(tmp_path / "disk", "160k"):
        folder = study(tmp_path / "disk" / "study")
        said = refused(command(folder))
        assert "cannot be read or written (No space left on device); what is made is kept" in said
        assert 0 < len(hashes(folder)) < 40
        assert_whole_files(folder)
        assert not [*folder.root.rglob("*.part")]
        subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path / "disk")], check=True)
        generate(folder)
        assert_same(folder, whole)


@contextmanager
def unprivileged():
    """As a user whom permissions bind: root reads everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("kind", [".png", ".json"])
def test_a_file_that_may_not_be_read_is_named_in_one_sentence(kind):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        Path(place).chmod(0o777)
        with unprivileged():
            folder = study(Path(place) / "study", 3)
            images = generate(folder)
            file = (folder.images / images["file_name"].iloc[2]).with_suffix(kind)
            file.chmod(0)
            with pytest.raises(
                StudyError, match=r"cannot be read or written \(Permission denied\)"
            ) as caught:
                generate(folder)
            assert str(file) in str(caught.value)
            file.chmod(0o644)  # as the sentence says
            assert without_times(generate(folder)) == without_times(images)


def test_two_runs_at_once_make_one_set(tmp_path):
    whole, folder = study(tmp_path / "whole", seconds=0.02), study(tmp_path / "study", seconds=0.02)
    generate(whole)
    runs = [command(folder, "--batch-size", str(size)) for size in (2, 3)]
    for run in runs:
        out, error = run.communicate(timeout=60)
        assert run.returncode == 0, error
        assert "40 images (40 ok)" in out
    before = hashes(folder)
    generate(folder)  # finds nothing to do
    assert hashes(folder) == before
    assert_same(folder, whole)


def test_parts_of_a_killed_run_are_taken_away_and_no_others(tmp_path):
    folder = study(tmp_path / "study", 3)
    generate(folder)
    place = folder.images / "light"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = files.part_name()
    host = mine.split("-")[0]
    places = (place, folder.images, folder.root)
    left = [place / f"{host}-{dead.pid}-abcd.part" for place in places]
    kept = [
        place / mine,
        place / f".0123abcd-{dead.pid}-abcd.part",
        place / ".cache",
        place / ".x.part",
    ]
    old = place / ".0123abcd-1-old.part"
    for path in (*left, *kept, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))  # of another machine, and of long ago
    tables_left = folder.root / f"{host}-{dead.pid}-efgh.part"  # a folder, of a killed analysis
    (tables_left / "new").mkdir(parents=True)
    (tables_left / "new" / "ratings.csv").write_bytes(b"half")
    generate(folder)
    assert not tables_left.exists()
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert not old.exists()


def test_a_file_of_settings_that_is_damaged_is_written_again(tmp_path):
    folder = study(tmp_path / "study", 3)
    images = generate(folder)
    [run] = (folder.images / "light").glob("run-*.json")
    before = hashlib.sha256(run.read_bytes()).hexdigest()
    run.write_text('{"pipeline": ')
    (folder.images / images["file_name"].iloc[0]).unlink()
    assert without_times(generate(folder)) == without_times(images)
    assert hashlib.sha256(run.read_bytes()).hexdigest() == before
