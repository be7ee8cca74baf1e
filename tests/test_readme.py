"""Every command in the README is run, in its order, in an empty folder."""

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from evalkit.collection import invite
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from evalkit.store import open_store
from evalkit.study_folder import open_study
from tests.console import assert_shown, run, shape, steps
from tests.study_server import free_port

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
STEPS = steps(README)
NOW = "2026-01-01T00:00:00.000+00:00"


def serve_and_vote(command, folder, study):
    """Start the server as the README says, but on a free port; vote; stop it by Ctrl-C."""
    port = ["--port", str(free_port())]
    arguments = [sys.executable, "-m", "evalkit.cli", *shlex.split(command)[1:], *port]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        try:
            opened = open_study(study)
            visit(opened, re.search(r"http://localhost:\d+", line).group())
            simulate_votes(opened)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
    return line


def visit(opened, url):
    """Open a personal link as a browser does: the page answers under a clean address."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    [link] = invite(opened, 1, NOW, url)
    with browser.open(link, timeout=30) as page:
        assert (page.status, page.url) == (200, f"{url}/")


def simulate_votes(opened):
    """All votes of the study, by simulated annotators who prefer no image."""
    utilities = {
        (question.id, image_id): 0.0
        for question in opened.study.questions
        for image_id in opened.read_images()["image_id"]
    }
    store = open_store(opened.store_address)
    simulate_sessions(opened, store, utilities, Population(tie_weight=0.35), seed=1, now=NOW)


def test_the_readme_names_the_commands():
    named = [shlex.split(command)[:2] for command, _ in STEPS]
    for command in (
        "init",
        "generate",
        "check",
        "invite",
        "serve",
        "status",
        "score",
        "analyze",
        "report",
    ):
        assert ["evalkit", command] in named
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_command_of_the_readme_runs(tmp_path):
    for name, content in re.findall(
        r"^`(\S+\.csv)`:\n\n```csv\n(.*?)```", README, re.M | re.DOTALL
    ):
        (tmp_path / name).write_text(content)
    for command, shown in STEPS:
        assert command.startswith("evalkit "), command
        if command.startswith("evalkit serve"):
            printed = serve_and_vote(command, tmp_path, tmp_path / shlex.split(command)[2])
        else:
            done = run(command, tmp_path)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            printed = done.stdout
        if command.startswith("evalkit bench"):  # its first line names the machine
            assert shape(printed.partition("\n")[2]) == shape(shown.partition("\n")[2])
        elif "On quality" in shown:  # which preferences show depends on the votes
            assert "On quality" in printed
        else:
            assert_shown(command, printed, shown)


def test_every_picture_and_link_of_the_readme_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 2
    for link in links:
        if not link.startswith("https://"):
            assert (ROOT / link).exists(), link


@pytest.mark.parametrize("model", re.findall(r'^catalogue = "(\S+)"', README, re.MULTILINE))
def test_the_models_the_readme_names_are_in_the_catalogue(model):
    from evalkit.models import CATALOGUE

    assert model in CATALOGUE
