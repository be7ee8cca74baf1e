"""The command line's habits: one sentence for a mistake, examples, JSON, colours, completion."""

import importlib.metadata
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import typer

from evalkit import __version__, installation
from evalkit.cli import app
from evalkit.collection import open_collection
from evalkit.errors import EvalkitError
from evalkit.installation import look, read_gpus, require_command, require_known
from evalkit.presets import init_study
from evalkit.study_folder import StudyFolder
from tests.study_factory import NOW, make_study
from tests.test_cli import assert_refused, evalkit


def commands():
    """(words, command) of every command there is."""
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield [name], command
        for sub, subcommand in (inner or {}).items():
            yield [name, sub], subcommand


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=[" ".join(words) for words, _ in commands()]
)
def test_every_command_says_what_it_does_and_has_an_example_that_parses(words, command):
    assert command.help
    assert command.epilog and command.epilog.startswith("Example: evalkit "), words
    given = shlex.split(command.epilog.removeprefix("Example: evalkit "))
    assert given[: len(words)] == words
    command.make_context(" ".join(words), given[len(words) :])  # an option that is not there raises


def test_cheap_examples_run(tmp_path):
    for words in ("init", "models", "doctor"):
        example = next(c.epilog for w, c in commands() if w == [words])
        done = evalkit(*shlex.split(example.removeprefix("Example: evalkit ")), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["plan"], ["evalkit plan: missing argument 'STUDY'", "see: evalkit plan --help"]),
        (["plan", "x", "--pwer", "3"], ["evalkit plan: no such option: --pwer", "--power"]),
        (["plan", "x", "--power", "much"], ["evalkit plan: invalid value for '--power'"]),
        (["serve", "x", "--port", "0"], ["evalkit serve: invalid value for '--port'"]),
        (["plam"], ["evalkit: no such command 'plam'", "see: evalkit --help"]),
        (["store", "upgrad"], ["evalkit store: no such command 'upgrad'"]),
        (["models", "a", "b"], ["evalkit models: got unexpected extra argument"]),
    ],
)
def test_what_the_parser_refuses_is_one_sentence_too(given, parts):
    done = evalkit(*given)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_help_tells_the_exit_codes():
    text = " ".join(evalkit("--help").stdout.split())
    for said in ("0 done", "1 a bug of evalkit", "2 a mistake", "130 stopped by Ctrl-C"):
        assert said in text
    bare = evalkit()
    assert bare.returncode == 2 and "Usage: evalkit" in bare.stderr


def test_a_bug_has_its_traceback_and_says_that_it_is_one(tmp_path):
    code = (
        "import sys; from evalkit import cli, presets\n"
        "presets.init_study = lambda *_: 1 / 0\n"
        f"sys.argv = ['evalkit', 'init', {str(tmp_path / 'x')!r}]; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Traceback") and "ZeroDivisionError: division by zero" in lines
    assert lines[-1].startswith("evalkit: this is a bug of evalkit")


def test_ctrl_c_says_in_one_sentence_how_to_go_on(tmp_path):
    """The signal comes once the first image is there, and the next run keeps it."""
    init_study(tmp_path / "mine", "scenes")
    folder = StudyFolder(tmp_path / "mine")
    arguments = [sys.executable, "-m", "evalkit.cli", "generate", str(folder.root)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 100
        while not list((folder.root / "images").rglob("*.png")) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "evalkit: stopped; what is done is kept; run the same command again to go on"
    )
    planned = json.loads(evalkit("generate", folder.root, "--dry-run", "--json").stdout)
    assert 0 < planned["to_make"] < planned["images"] == 144


def test_scripts_get_json(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    open_collection(folder, NOW).close()
    links = json.loads(evalkit("invite", folder.root, "--n", "2", "--json").stdout)["links"]
    assert len(links) == len(set(links)) == 2 and all("/?token=" in link for link in links)
    verified = json.loads(evalkit("verify", folder.root, "--json").stdout)
    assert verified["passed"] and len(verified["checks"]) == 10
    next(folder.images.rglob("*.png")).unlink()
    done = evalkit("verify", folder.root, "--json")
    assert done.returncode == 2 and not json.loads(done.stdout)["passed"]
    assert done.stderr.startswith("evalkit: verify: 1 of 10 checks")
    models = json.loads(evalkit("models", "--json").stdout)
    assert models["sdxl-turbo"]["repository"] == "stabilityai/sdxl-turbo"
    assert json.loads(evalkit("models", "sdxl-turbo", "--json").stdout).keys() == {"sdxl-turbo"}
    assert_refused(evalkit("generate", folder.root, "--json"), "--json is for --dry-run")
    assert_refused(evalkit("models", "sdxl-trubo", "--json"), 'did you mean "sdxl-turbo"?')


def test_colours_are_for_terminals_without_no_color():
    """FORCE_COLOR stands for a terminal; a pipe gets the same text without."""
    code = "from evalkit.cli.terminal import show_lines; show_lines(['head', 'a  b'], head=0)"

    def shown(**environment):
        env = {**os.environ, "TERM": "xterm", **environment}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, env=env).stdout

    assert shown() == b"head\na  b\n"
    assert shown(FORCE_COLOR="1") == b"\x1b[2mhead\x1b[0m\na  b\n"
    assert b"\x1b[3" not in shown(FORCE_COLOR="1", NO_COLOR="1")


@pytest.mark.parametrize(
    ("words", "place", "completed"),
    [
        ("evalkit gen", 1, "generate"),
        ("evalkit models scenes-l", 2, "scenes-lcm"),
        ("evalkit bench sdxl-tur", 2, "sdxl-turbo"),
        ("evalkit init x --preset sc", 4, "scenes"),
        ("evalkit verify m", 2, "mine"),
        ("evalkit verify o", 2, "other/"),
        ("evalkit verify other/", 2, "other/deep"),
    ],
)
def test_the_shell_completes(tmp_path, words, place, completed):
    init_study(tmp_path / "mine", "scenes")
    init_study(tmp_path / "other" / "deep", "scenes")
    asked = {"_EVALKIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **asked},
    )  # fmt: skip
    assert completed in done.stdout.splitlines()


def test_the_shell_gets_its_script(monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # whatever runs pytest
    done = evalkit("--show-completion", "bash")
    assert done.returncode == 0
    assert "complete -o default -F _evalkit_completion evalkit" in done.stdout


# ---- doctor


def test_doctor_tells_versions_devices_and_disk(tmp_path):
    found = json.loads(evalkit("doctor", "--json", cwd=tmp_path).stdout)
    assert found["evalkit"] == __version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["core"]["pandas"] == importlib.metadata.version("pandas")
    assert found["packages"]["app"]["streamlit"] == importlib.metadata.version("streamlit")
    assert set(found["packages"]) == {"core", *installation.EXTRAS}
    assert found["devices"][-1]["name"].startswith("cpu")
    assert found["free_disk_bytes"] > 0


def test_doctor_names_what_a_command_lacks(monkeypatch, tmp_path):
    real = importlib.metadata.version

    def version(name):
        if name == "open-clip-torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(installation, "version", version)
    found = look(tmp_path)
    name = next(n for n in found.packages["metrics"] if n.startswith("open"))
    assert found.lacking["score"] == [name]
    with pytest.raises(EvalkitError, match=r'score needs open.clip.*pip install "evalkit\[metrics'):
        require_command(found, "score")
    require_command(found, "plan")
    with pytest.raises(EvalkitError, match='unknown command "scor".*did you mean "score"'):
        require_known("scor", ["plan", "score"])


def test_doctor_says_what_a_study_needs(monkeypatch, tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    file = folder.root / "study.toml"
    file.write_text('store = "postgresql://host/votes"\n' + file.read_text())
    monkeypatch.setattr(
        installation, "_packages", lambda: {extra: {"x": None} for extra in installation.EXTRAS}
    )
    monkeypatch.setattr(installation, "_version", lambda package: None)
    lacking = look(tmp_path, StudyFolder(folder.root).study).lacking
    assert set(lacking) == {*installation.COMMANDS, "store"}
    assert set(look(tmp_path).lacking) == set(installation.COMMANDS)


@pytest.mark.parametrize(
    ("package", "commands", "install"),
    [
        ("playwright", {"screen"}, 'pip install "evalkit[app]" playwright'),
        ("torch", {"generate", "bench", "demo", "score"}, 'pip install "evalkit[generate,app]"'),
        ("streamlit", {"check", "serve", "dashboard", "screen", "demo"}, "generate,app"),
        ("datasets", {"generate", "bench", "demo", "export --format"}, "generate,app"),
    ],
)
def test_doctor_knows_which_commands_need_a_package(
    monkeypatch, tmp_path, package, commands, install
):
    """As the commands import them: demo generates and serves, screen photographs a server."""
    real = installation._version
    monkeypatch.setattr(
        installation, "_version", lambda name: None if name == package else real(name)
    )
    found = look(tmp_path)
    assert {name.partition(" datasets")[0] for name in found.lacking} == commands
    command = "screen" if package == "playwright" else "demo"
    with pytest.raises(EvalkitError) as caught:
        require_command(found, command)
    assert install in str(caught.value)


def test_doctor_refuses_an_unknown_command_before_it_says_anything():
    assert_refused(evalkit("doctor", "--for", "foo"), 'unknown command "foo"')


def test_doctor_reads_what_the_driver_says_of_gpus():
    """Lines as `nvidia-smi --query-gpu=name,memory.free,memory.total` prints them."""
    first, second = read_gpus("NVIDIA H200, 142000, 143771\nNVIDIA T4, [N/A], 15360\n")
    assert (first.name, first.free_bytes) == ("cuda:0 NVIDIA H200", 142000 * 2**20)
    assert (second.name, second.free_bytes) == ("cuda:1 NVIDIA T4", None)


def test_doctor_loads_no_torch():
    code = (
        "import sys; from evalkit.cli import app; sys.argv = ['evalkit', 'doctor']\n"
        "app(standalone_mode=False); print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
    assert re.search(r"device: cpu, \d+ threads", done.stdout)


# ---- a study elsewhere, and its next version


def test_a_study_is_archived_imported_verified_and_followed_by_a_new_version(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    open_collection(folder, NOW).close()
    done = evalkit("archive", "study", "--to", "study.zip", cwd=tmp_path)
    assert done.returncode == 0 and "evalkit import study.zip NEW" in done.stdout
    done = evalkit("import", "study.zip", "copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nok ") == 7 and done.stdout.endswith("Imported copy\n")
    assert_refused(evalkit("import", "study.zip", "copy", cwd=tmp_path), "copy exists already")
    done = evalkit("init", "second", "--new-version", "copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert StudyFolder(tmp_path / "second").study.previous.name == "factory"
    both = ("init", "third", "--new-version", "copy", "--preset", "scenes")
    assert_refused(evalkit(*both, cwd=tmp_path), "--preset and --new-version exclude each other")
