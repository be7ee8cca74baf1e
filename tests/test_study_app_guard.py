"""The guard around the study folder: which files a worker's process can open."""

import subprocess
import sys

import pytest

from evalkit.collection import open_collection
from tests.study_factory import NOW, make_study
from tests.study_server import ROOT

_GUARDED = """
import os, pathlib, sqlite3, subprocess, sys
import pandas as pd
from pathlib import Path
from study_app.guard import ForbiddenFileError, guard
root = Path(sys.argv[1])
guard(root, [root / "blinded", root / "received", root / "votes.sqlite"])
try:
    {code}
except ForbiddenFileError as error:
    print("refused", error)
else:
    print("opened")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = make_study(tmp_path_factory.mktemp("guard") / "study")
    open_collection(folder, NOW).close()
    (folder.root / "received").mkdir()
    return folder.root


def outcome(root, code):
    done = subprocess.run(
        [sys.executable, "-c", _GUARDED.format(code=code), str(root)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(" ")[0].strip()


def test_the_files_that_name_models_cannot_be_opened(root):
    names = ["pairs.csv", "checks.csv", "images.csv", "study.toml", "lock.json"]
    for name in names:
        assert (root / name).is_file()
    every = "\n    ".join(
        [
            f"refused = 0\n    for name in {names}:",
            "    try: open(root / name)",
            "    except ForbiddenFileError: refused += 1",
            f"if refused == {len(names)}: raise ForbiddenFileError('all')",
        ]
    )
    assert outcome(root, every) == "refused"


@pytest.mark.parametrize(
    "code",
    [
        "(root / 'pairs.csv').read_text()",
        "open(str(root / 'pairs.csv').encode())",
        "os.open(root / 'pairs.csv', os.O_RDONLY)",
        "pd.read_csv(root / 'pairs.csv')",
        "sqlite3.connect(root / 'pairs.csv')",
        "sqlite3.connect(f'file:{root}/pairs.csv?mode=ro', uri=True)",
        "sqlite3.connect((root / 'pairs.csv').as_uri().replace('pairs', '%70airs'), uri=True)",
        "open(root / 'blinded' / '..' / 'pairs.csv')",
        "os.chdir(root)",
        "os.listdir(root / 'images')",
        "list((root / 'images').iterdir())",
        "os.open(root, os.O_RDONLY)",
        "os.rename(root / 'pairs.csv', root / 'blinded' / 'x')",
        "os.symlink(root / 'pairs.csv', root / 'blinded' / 'x')",
        "os.link(root / 'pairs.csv', root / 'blinded' / 'x')",
        "open(root / 'votes.sqlite-other', 'w')",
        "subprocess.run(['cat', str(root / 'pairs.csv')])",
        "os.system('true')",
    ],
)
def test_no_way_of_opening_passes(root, code):
    assert outcome(root, code) == "refused"
    assert (root / "pairs.csv").is_file()
    assert not (root / "blinded" / "x").exists()


def test_a_link_that_lay_there_before_leads_nowhere(root):
    link = root / "blinded" / "link.png"
    link.symlink_to(root / "pairs.csv")
    try:
        assert outcome(root, "open(root / 'blinded' / 'link.png')") == "refused"
    finally:
        link.unlink()


@pytest.mark.parametrize(
    "code",
    [
        "next((root / 'blinded').iterdir()).read_bytes()",
        "sqlite3.connect(root / 'votes.sqlite').execute('select * from meta').fetchall()",
        "sqlite3.connect((root / 'votes.sqlite').as_uri() + '?mode=rw', uri=True)",
        "open(root / 'votes.sqlite-wal', 'ab')",
        "open(root / 'received' / '1.jsonl', 'a')",
        "open(sys.executable, 'rb')",
    ],
)
def test_what_a_worker_needs_stays_open(root, code):
    assert outcome(root, code) == "opened"


def test_a_worker_itself_is_guarded_and_public_images_may_lie_elsewhere(root, tmp_path):
    """The worker as it is started, on a study whose public images are a link to another disk."""
    elsewhere = tmp_path / "blinded"
    (root / "blinded").rename(elsewhere)
    (root / "blinded").symlink_to(elsewhere)
    code = f"""
import sys
from pathlib import Path
from study_app import __main__ as app
root = Path({str(root)!r})
def tell(*given):
    image = next((root / "blinded").iterdir())
    assert image.read_bytes()[:4] == b"\\x89PNG"
    for name in ("pairs.csv", "study.toml", "images.csv"):
        try:
            (root / name).read_bytes()
        except PermissionError as error:
            print(type(error).__name__, name)
app.run_worker = tell
sys.argv = ["app", "--store", f"{{root}}/votes.sqlite", "--blinded", f"{{root}}/blinded",
            "--journal", f"{{root}}/received"]
app.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    (root / "blinded").unlink()
    elsewhere.rename(root / "blinded")
    assert done.stderr == ""
    names = ["pairs.csv", "study.toml", "images.csv"]
    assert done.stdout.splitlines() == [f"ForbiddenFileError {name}" for name in names]
