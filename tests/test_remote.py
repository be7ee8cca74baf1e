"""Images on an object store: a real S3-compatible server, from generation to what is shown."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from evalkit import addresses
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.files import file_sha256, is_file, remove, write_bytes
from evalkit.generation import describe_plan, generate, plan_images, survey
from evalkit.report.copies import opened
from evalkit.report.results import _json as read_manifest
from evalkit.scoring import score
from evalkit.study_folder import StudyFolder, open_study
from tests.generated import hashes, strokes, without_times
from tests.miniatures import study_file
from tests.study_factory import NOW

ROOT = Path(__file__).parents[1]
BUCKET = "s3://studies"


@pytest.fixture(scope="module")
def server():
    """The server's address; its bucket `studies` is empty at the start."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(server, monkeypatch):
    """The environment in which S3 is that server."""
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    if not fs.exists(BUCKET):
        fs.mkdir(BUCKET)
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()


def study(root: Path, address: str | None = None, n_prompts: int = 5) -> StudyFolder:
    """Two models of strokes on an address, or without one in the study folder."""
    models = {"light": strokes(), "dark": strokes(shade=1)}
    prompts = tuple(f"thing {i}" for i in range(n_prompts))
    folder = study_file(root, models, prompts=prompts)
    if address is not None:
        text = (root / "study.toml").read_text()
        (root / "study.toml").write_text(
            text.replace("[images]", f'[images]\naddress = "{address}"')
        )
    return StudyFolder(folder.root)


def there(store, address: str) -> dict[str, tuple[str, int]]:
    """Contents (by their hash) and sizes of what lies below an address."""
    found = store.find(address, detail=True)
    return {name.split("/", 2)[2]: (entry["ETag"], entry["size"]) for name, entry in found.items()}


class Requests:
    """Counts what is asked of the file system, by its kind."""

    def __init__(self, monkeypatch):
        self.puts, self.gets, self.lists = [], [], []
        for name, calls in (("put", self.puts), ("get", self.gets), ("list_sizes", self.lists)):
            self._count(monkeypatch, name, calls)
        inner = survey.get_all
        monkeypatch.setattr(
            survey, "get_all", lambda paths: self.gets.extend(map(str, paths)) or inner(paths)
        )

    @staticmethod
    def _count(monkeypatch, name, calls):
        inner = getattr(addresses, name)
        monkeypatch.setattr(
            addresses, name, lambda path, *rest: calls.append(str(path)) or inner(path, *rest)
        )


def test_the_set_is_the_one_of_a_local_folder(store, tmp_path):
    local, remote = study(tmp_path / "local"), study(tmp_path / "remote", f"{BUCKET}/one")
    expected, found = generate(local), generate(remote)
    assert without_times(found) == without_times(expected)
    assert remote.study.sha256 == local.study.sha256  # moved images are the same images
    assert not (remote.root / "images").exists()
    assert {path.name for path in remote.root.iterdir()} == {
        "study.toml", "own.csv", "prompts.csv", "prompts.json", "images.csv"
    }  # fmt: skip
    lying = {name for name in there(store, f"{BUCKET}/one") if not Path(name).match("run-*")}
    named = {path.relative_to(local.images).as_posix() for path in local.images.glob("*/*")}
    assert lying == {name for name in named if "run-" not in name} | {"manifest.json"}
    assert (
        store.cat(f"{BUCKET}/one/{found['file_name'][3]}")
        == (local.images / found["file_name"][3]).read_bytes()
    )
    manifest = json.loads(store.cat(f"{BUCKET}/one/manifest.json"))
    assert manifest["images"] == {"ok": 20, "failed": 0, "filtered": 0, "missing": 0}


def test_resume_reads_records_and_no_image(store, tmp_path, monkeypatch):
    folder = study(tmp_path / "study", f"{BUCKET}/resume")
    images = generate(folder)
    lying = there(store, f"{BUCKET}/resume")
    store.rm(f"{BUCKET}/resume/{images['file_name'][2]}")
    store.pipe(f"{BUCKET}/resume/{images['file_name'][4]}", b"half")
    store.rm(f"{BUCKET}/resume/{images['file_name'][7][:-4]}.json")
    folder = open_study(folder.root)
    assert "light: 3 of 10 images to make" in describe_plan(folder)
    requests = Requests(monkeypatch)
    assert without_times(generate(folder)) == without_times(images)
    assert not [path for path in requests.gets if path.endswith(".png")]
    made = {str(folder.images / images["file_name"][row]) for row in (2, 4, 7)}
    assert {path for path in requests.puts if path.endswith(".png")} == made
    now = there(store, f"{BUCKET}/resume")
    assert {n: v for n, v in now.items() if n.endswith(".png")} == {
        n: v for n, v in lying.items() if n.endswith(".png")
    }


def test_a_file_that_may_not_be_removed_is_one_sentence(store, tmp_path, monkeypatch):
    """The store refuses to forget the record of a damaged image."""
    folder = study(tmp_path / "study", f"{BUCKET}/kept")
    images = generate(folder)
    store.pipe(f"{BUCKET}/kept/{images['file_name'][4]}", b"half")

    async def refuse(fs, path, *args, **kwargs):
        raise RuntimeError("Access Denied")

    for name in ("_rm", "_rm_file"):
        monkeypatch.setattr(s3fs.S3FileSystem, name, refuse)
    s3fs.S3FileSystem.clear_instance_cache()
    folder = open_study(folder.root)
    said = rf"{images['image_id'][4]}.json: cannot be read or written \(Access Denied\)"
    with pytest.raises(StudyError, match=said):
        generate(folder)


def test_what_is_removed_is_gone_and_what_is_not_there_is_no_error(store):
    path = addresses.open_address(f"{BUCKET}/gone/a.json", "here")
    write_bytes(path, b"{}")
    assert is_file(path)
    for _ in range(2):
        remove(path)
        assert not is_file(path)


def test_two_requests_make_an_image(store, tmp_path, monkeypatch):
    """One puts the image, one its record; the rest does not grow with their number."""
    requests = Requests(monkeypatch)
    generate(study(tmp_path / "study", f"{BUCKET}/count", n_prompts=20))
    of_images = [path for path in requests.puts if not re.search(r"run-\w+\.json$|manifest", path)]
    assert len(of_images) == 2 * 80
    assert len(requests.puts) - len(of_images) == 2 + 2  # a set-up per model, the manifest twice
    assert len(requests.lists) == 2  # of each model, to see what lies there
    assert len(requests.gets) <= 2 * 2 + 2  # the set-ups


def test_another_process_sees_what_was_written(store, tmp_path):
    """Listings are not kept from one look to the next."""
    folder = study(tmp_path / "study", f"{BUCKET}/seen")
    generate(folder)
    assert plan_images(folder)["made"].all()
    name = folder.read_images()["file_name"][0]
    store.rm(f"{BUCKET}/seen/{name}")
    assert plan_images(folder)["made"].tolist() == [False] + [True] * 19
    store.pipe(f"{BUCKET}/seen/{name}", b"x")
    assert plan_images(folder)["made"].tolist() == [False] + [True] * 19


def test_annotators_metrics_and_report_are_served_from_it(store, tmp_path):
    local, folder = study(tmp_path / "local"), study(tmp_path / "study", f"{BUCKET}/shown")
    for one in (local, folder):
        generate(one)
        open_collection(one, NOW).close()
    assert sorted(hashes_of(folder.blinded)) == sorted(hashes_of(local.blinded))
    scores, expected = (score(one, weights="scenes-clip") for one in (folder, local))
    pd.testing.assert_frame_equal(scores, expected)
    name = folder.read_images()["file_name"][0]
    assert opened(folder.images / name) == opened(local.images / name)
    assert read_manifest(folder.manifest_file)["images"]["ok"] == 20
    store.rm(f"{BUCKET}/shown/{name}")
    with pytest.raises(StudyError, match="the image cannot be read"):
        score(folder, weights="scenes-clip")


def hashes_of(blinded: Path) -> list[str]:
    """Of what annotators may see; the names are drawn anew each time."""
    return [file_sha256(path) for path in blinded.glob("*.png")]


def test_the_command_runs_on_it_with_ray(store, tmp_path):
    local, folder = study(tmp_path / "local"), study(tmp_path / "study", f"{BUCKET}/ray")
    expected = generate(local)
    options = ["--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "RAY_ADDRESS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"20 images (20 ok) in {BUCKET}/ray\n"
    assert without_times(folder.read_images()) == without_times(expected)
    assert not [name for name in there(store, f"{BUCKET}/ray") if name.endswith(".part")]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://nowhere-to-be-found/x", "cannot be read or written (The specified bucket does not"),
        ("nosuch://x/y", 'images.address = "nosuch://x/y": cannot be used (Unsupported filesystem'),
        (
            "a/folder",
            "images.address = 'a/folder'; allowed are addresses such as s3://bucket/folder",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(store, tmp_path, address, said):
    folder = study(tmp_path / "study", address)
    with pytest.raises(StudyError, match=re.escape(said)):
        generate(folder)


def test_no_credentials_and_no_server_are_one_sentence(store, tmp_path, monkeypatch):
    folder = study(tmp_path / "study", f"{BUCKET}/closed")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store.clear_instance_cache()
    with pytest.raises(StudyError, match="cannot be read or written .Could not connect to the end"):
        generate(folder)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store.clear_instance_cache()
    folder = study(tmp_path / "other", f"{BUCKET}/closed")
    with pytest.raises(StudyError, match="Unable to locate credentials"):
        generate(folder)


def test_without_the_package_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    folder = study(tmp_path / "study", "s3://bucket/x")
    with pytest.raises(StudyError, match=re.escape('run pip install "evalkit[remote]"')):
        generate(folder)


def test_an_address_of_this_machine_is_a_plain_folder(tmp_path):
    folder = study(tmp_path / "study", f"file://{tmp_path}/elsewhere")
    assert folder.images == tmp_path / "elsewhere"
    assert isinstance(folder.images, Path)
    assert len(generate(folder)) == 20
    assert len(hashes(folder)) == 20
    assert (tmp_path / "elsewhere" / "manifest.json").is_file()


def test_any_address_of_fsspec_serves(tmp_path):
    folder = study(tmp_path / "study", "memory://set")
    images = generate(folder)
    assert plan_images(folder)["made"].all()
    assert str(folder.images / images["file_name"][0]).startswith("memory://set/light/")
