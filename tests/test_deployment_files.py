"""What cannot be started in a test: the container file, the systemd units, what the page says."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import typer

from evalkit.cli import app
from study_app.headers import OPEN_PATHS

ROOT = Path(__file__).parents[1]
DEPLOYMENT = ROOT / "docs" / "deployment"
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
PROXY = (DEPLOYMENT / "nginx.conf").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# What the extras other than app and postgres bring, as it is imported.
_ELSEWHERE = (
    "accelerate", "aiohttp", "datasets", "diffusers", "flask", "hypothesis", "moto", "open_clip",
    "peft", "playwright", "psutil", "pytest", "ray", "s3fs", "safetensors", "sentencepiece",
    "statsmodels", "torch", "torchvision", "transformers", "upath",
)  # fmt: skip
_CLOSED = f"""
import sys

class Closed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_ELSEWHERE!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Closed())
"""


def instructions() -> list[tuple[str, str]]:
    """The container file's instructions: name, rest."""
    text = (DEPLOYMENT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def parsed(words: list[str]) -> dict[str, object]:
    """What the evalkit command understands of these words; it fails where that is nothing."""
    group = typer.main.get_command(app)
    context = group.make_context("evalkit", list(words), resilient_parsing=True)
    command = group.get_command(context, words[0])
    assert command is not None, words
    return command.make_context(words[0], list(words[1:])).params


def proxied(name: str) -> list[int]:
    """The ports to which nginx passes on: those of the workers, or of the dashboard."""
    pattern = {"workers": r"^\s+server 127.0.0.1:(\d+)", "dashboard": r"http://127.0.0.1:(\d+);"}
    return [int(port) for port in re.findall(pattern[name], PROXY, flags=re.MULTILINE)]


def test_the_container_file_is_of_this_project():
    by_name: dict[str, list[str]] = {}
    for name, rest in instructions():
        by_name.setdefault(name, []).append(rest)
    [image] = by_name["FROM"]
    major, minor = map(int, re.search(r"python:(\d+)\.(\d+)-", image).groups())
    assert (major, minor) >= tuple(map(int, PROJECT["requires-python"].strip(">=").split(".")))
    copied = {source for rest in by_name["COPY"] for source in rest.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["readme"], *wheel["packages"], *wheel["force-include"]}
    assert needed <= copied
    [install] = by_name["RUN"]
    extras = re.search(r'"\.\[([a-z,]+)\]"', install)[1].split(",")
    assert extras == ["app", "postgres"]
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
    assert by_name["USER"] == ["10001:10001"]
    assert json.loads(by_name["ENTRYPOINT"][0]) == ["evalkit"]
    serve = parsed(json.loads(by_name["CMD"][0]))
    ports = [serve["port"] + number for number in range(serve["workers"])]
    assert [int(port) for port in by_name["EXPOSE"][0].split()] == ports == proxied("workers")
    assert serve["host"] == "0.0.0.0"
    asked = re.search(r"http://127.0.0.1:(\d+)([^']+)", by_name["HEALTHCHECK"][0])
    assert int(asked[1]) == ports[0]
    assert asked[2] in OPEN_PATHS


def test_the_app_needs_nothing_that_its_container_has_not():
    """Loaded in a process in which all that other extras bring cannot be imported."""
    loaded = (
        "evalkit.cli", "evalkit.collection", "evalkit.leaks", "evalkit.monitoring",
        "study_app.worker", "study_app.workers", "study_app.dashboard.server",
    )  # fmt: skip
    code = "\n".join([_CLOSED, *(f"import {name}" for name in loaded)])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def unit(name: str) -> configparser.ConfigParser:
    """A unit file as systemd reads it, but for keys that stand twice."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string((DEPLOYMENT / f"{name}.service").read_text("utf-8"))
    return parser


def test_the_units_start_what_the_proxy_expects():
    app_unit, dashboard = unit("evalkit")["Service"], unit("evalkit-dashboard")["Service"]
    words = shlex.split(app_unit["ExecStart"])
    serve = parsed(words[1:])
    ports = [serve["port"] + number for number in range(serve["workers"])]
    assert ports == proxied("workers")
    assert serve["host"] == "127.0.0.1"
    watch = parsed(shlex.split(dashboard["ExecStart"])[1:])
    assert [watch["port"]] == proxied("dashboard")
    assert watch["port"] not in ports
    for service, found in ((app_unit, serve), (dashboard, watch)):
        assert str(found["path"]) == service["ReadWritePaths"]
        assert service["RestartPreventExitStatus"] == "2"
        assert service["User"] == "evalkit"


def test_systemd_understands_the_units(tmp_path):
    """Where systemd is installed, it is asked itself; programs and users are this machine's."""
    for name in ("evalkit", "evalkit-dashboard"):
        text = (DEPLOYMENT / f"{name}.service").read_text("utf-8")
        text = text.replace("/opt/evalkit/.venv/bin/evalkit", sys.executable)
        text = re.sub(r"^(User|Group)=evalkit$", r"\1=root", text, flags=re.MULTILINE)
        (tmp_path / f"{name}.service").write_text(text)
        known = {"Unit", "Service", "Install"}
        assert set(unit(name).sections()) == known
        if shutil.which("systemd-analyze"):
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"{name}.service")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")


def test_the_page_names_every_file_and_only_commands_that_are():
    for file in DEPLOYMENT.iterdir():
        assert f"](deployment/{file.name})" in PAGE
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    group = typer.main.get_command(app)
    context = group.make_context("evalkit", [], resilient_parsing=True)
    named = set(re.findall(r"(?:`|/|^)evalkit\s+(\w+)", PAGE, flags=re.MULTILINE))
    assert {"serve", "status", "check", "pause", "resume", "invite", "store"} <= named
    assert all(group.get_command(context, name) for name in named)


def test_the_fields_that_the_page_explains_are_those_of_status(tmp_path):
    from evalkit.collection import open_collection
    from tests.study_factory import NOW, make_study

    folder = make_study(tmp_path / "study")
    open_collection(folder, NOW).close()
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", "status", str(folder.root), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    status = json.loads(done.stdout)
    table = PAGE.partition("| field |")[2].partition("\n\n")[0]
    fields = re.findall(r"^\| `([a-z_.]+)` \|", table, flags=re.MULTILINE)
    assert len(fields) >= 5
    for field in fields:
        value = status
        for name in field.split("."):
            assert name in value, field
            value = value[name]
