"""What all kinds of models have in common, and the guide to images of one's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.errors import StudyError
from evalkit.models import CascadeModel, DiffusionModel, resolve
from evalkit.pipelines import check
from evalkit.study_folder import StudyFolder
from tests.miniatures import requests
from tests.own_images import SIZE, fill, noise, spec, study, tree

ROOT = Path(__file__).parents[1]


def test_the_command_line_shows_one_sentence(tmp_path):
    folder = study(tmp_path, {"images": "nothing"})
    before = tree(folder.root)
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert 'models.mine: images = "nothing"' in " ".join(done.stderr.split())
    assert tree(folder.root) == before


def test_checking_and_importing_need_no_torch(tmp_path):
    fill(tmp_path / "hosted")
    (tmp_path / "light_one.py").write_text(
        "def make(prompts, seeds):\n    raise type('OutOfMemoryError', (Exception,), {})\n"
    )
    code = f"""
import sys
from pathlib import Path
from evalkit.models import resolve
from evalkit.pipelines import OutOfMemoryError, Request, check, load_pipeline
wanted = [Request("own-1", "a", 0)]
size = {SIZE}
tables = [{{"images": "hosted"}}, {{"callable": "light_one:make"}},
          {{"command": [sys.executable, "{{prompt}}", "{{file}}"]}}]
for table in tables:
    spec = resolve("m", {{**size, **table}}, "m").located(Path({str(tmp_path)!r}))
    check(spec, wanted)
    loaded = load_pipeline(spec)
    if "images" in table:
        assert loaded.render(wanted)[0].status == "ok"
    if "callable" in table:
        try:
            loaded.render(wanted)
        except OutOfMemoryError:
            print("halved")
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["halved", "[]"], done.stderr


def test_located_makes_paths_full_where_they_are_folders_of_the_study(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "vae").mkdir()
    stage = {"steps": 1, "guidance": 1.0}
    stages = [{"repository": "base", **stage}, {"repository": "org/two", **stage}]
    cascade = resolve("m", {"stages": stages, **SIZE}, "m")
    found = cascade.located(tmp_path)
    assert isinstance(found, CascadeModel)
    assert [s.repository for s in found.stages] == [str(tmp_path / "base"), "org/two"]
    assert [s.repository for s in cascade.stages] == ["base", "org/two"]
    one = resolve("m", {"repository": "base", "vae_repository": "vae", **stage, **SIZE}, "m")
    assert isinstance(one, DiffusionModel)
    assert one.located(tmp_path).repository == str(tmp_path / "base")
    assert one.located(tmp_path).vae_repository == str(tmp_path / "vae")
    builtin = resolve("scenes-turbo", {}, "m").located(tmp_path)
    assert builtin.repository.startswith("built-in:")
    assert one.located(tmp_path).folder == tmp_path
    assert resolve("m", {"images": "base", **SIZE}, "m").located(tmp_path).images == "base"


def test_what_a_checkpoint_lacks_is_known_when_it_is_loaded():
    absent = {"repository": "/nowhere", "steps": 1, "guidance": 1.0}
    check(spec(absent), requests(["a cat"], [0]))


GUIDE = ROOT / "docs" / "own-images.md"


def guide_files():
    """The files that the guide shows, by name; the parts of study.toml are put together."""
    text = GUIDE.read_text("utf-8")
    files = {}
    for name, body in re.findall(r"`([\w.]+\.(?:csv|py))`:\n\n```\w+\n(.*?)```", text, re.S):
        files[name] = body
    files["study.toml"] = "\n".join(re.findall(r"```toml\n(.*?)```", text, re.S))
    return files


def test_the_guide_runs_as_written(tmp_path, monkeypatch):
    files = guide_files()
    assert files.keys() == {"study.toml", "prompts.csv", "unreleased.csv", "mine.py", "client.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    listed = re.search(r"```\n(hosted/.*?)```", GUIDE.read_text("utf-8"), re.S)[1].split()
    listed += re.findall(r"sent/\S+", files["unreleased.csv"])
    assert len(listed) == 8
    for name in listed:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(name, size=(256, 256, 3))).save(path)
    python = str(Path(sys.executable).parent)  # `python` in the guide is the one of evalkit
    monkeypatch.setenv("PATH", python + os.pathsep + os.environ["PATH"])
    done = CliRunner().invoke(app, ["generate", str(tmp_path)])
    assert done.exit_code == 0, done.output
    images = StudyFolder(tmp_path).read_images()
    counts = images.groupby("model")["status"].agg(list).to_dict()
    assert counts == dict.fromkeys(("client", "hosted", "mine", "unreleased"), ["ok"] * 4)
    assert images["sha256"].is_unique
    client = images[(images["model"] == "client") & (images["prompt_id"] == "cat")]
    with Image.open(tmp_path / "images" / client["file_name"].iloc[1]) as image:
        assert image.getpixel((0, 0)) == (91, 128, 164)  # 9 letters * 10 + seed 1


def test_the_guide_names_every_placeholder_and_suffix():
    text = GUIDE.read_text("utf-8")
    from evalkit.models import CommandModel
    from evalkit.pipelines.pixels import SUFFIXES

    assert all(f"{{{name}}}" in text for name in CommandModel.PLACEHOLDERS)
    assert all(suffix[1:] in text for suffix in SUFFIXES)
    with pytest.raises(StudyError):
        spec({"command": ["x", "{other}"]})
