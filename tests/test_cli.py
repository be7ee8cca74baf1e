"""The command line as a person meets it: real processes, exit codes, sentences."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from tests.reference import FOLDER, needs_reference

HEADER = "annotator_id,prompt_id,question_id,model_a,model_b,winner\n"


def evalkit(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "evalkit.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=120,
    )


def assert_refused(done, *parts):
    """One sentence on stderr, exit code 2, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("evalkit: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_help_names_the_commands():
    done = evalkit("--help")
    assert done.returncode == 0
    for command in ("init", "generate", "invite", "serve", "score", "analyze", "report", "demo"):
        assert f"\n  {command} " in done.stdout


def test_init_writes_a_study_once(tmp_path):
    done = evalkit("init", tmp_path / "mine")
    assert done.returncode == 0
    assert "evalkit generate" in done.stdout
    assert_refused(evalkit("init", tmp_path / "mine"), "not empty")
    assert_refused(evalkit("init", tmp_path / "x", "--preset", "sdxl-trubo"), '"sdxl-turbo"?')
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["generate", "invite", "serve", "score", "report", "analyze"])
def test_every_command_asks_for_a_study_folder(tmp_path, command):
    assert_refused(evalkit(command, tmp_path / "none"), "no such study folder", "evalkit init")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("invite", "evalkit generate"),
        ("serve", "evalkit generate"),
        ("score", "evalkit generate"),
        ("analyze", "evalkit"),
        ("report", "evalkit"),
    ],
)
def test_a_step_too_early_names_the_step_before(tmp_path, command, needed):
    evalkit("init", tmp_path / "mine")
    assert_refused(evalkit(command, tmp_path / "mine"), needed)


def test_a_mistake_in_the_study_file_is_one_sentence(tmp_path):
    evalkit("init", tmp_path / "mine")
    file = tmp_path / "mine" / "study.toml"
    file.write_text(file.read_text().replace("votes_per_pair", "votes_per_piar"))
    done = evalkit("generate", tmp_path / "mine")
    assert_refused(done, "study.toml", "design.votes_per_piar", 'did you mean "votes_per_pair"')
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["study.toml"]


TABLES_OF_A_FILE = [
    "agreement", "annotators", "elo", "exclusions", "ratings", "sensitivity", "sides", "stability",
    "summary", "tie_rules", "win_rates",
]  # fmt: skip


@needs_reference
def test_analyze_a_file_of_votes(tmp_path):
    votes = FOLDER / "reference" / "votes_t2i.csv"
    done = evalkit("analyze", votes, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(p.stem for p in (tmp_path / "out").iterdir()) == sorted(TABLES_OF_A_FILE)
    rates = pd.read_csv(tmp_path / "out" / "win_rates.csv")
    row = rates[
        (rates.question_id == "quality") & (rates.model_a == "if-xl") & (rates.model_b == "lcm-4")
    ].iloc[0]
    # 46 won, 23 lost, 11 ties of 80 for lcm-4: (23 + 5.5) / 80 for if-xl.
    assert row.win_rate_a == (23 + 5.5) / 80
    assert (
        "On quality, no preference could be shown between lcm-4 and if-xl: win rate of lcm-4 64% "
        "(49% to 78%; 46 won, 23 lost, 11 ties counted half; 20 prompts, 15 annotators)."
    ) in done.stdout


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("a,p,q,x,y,modela", ["line 3", '"modela"', "model_a"]),
        ("a,p,q,x,x,tie", ["line 3", "compared with itself"]),
        ("a,,q,x,y,tie", ["line 3", "prompt_id", "an empty cell"]),
    ],
)
def test_analyze_refuses_a_bad_row_and_writes_nothing(tmp_path, row, parts):
    votes = tmp_path / "votes.csv"
    votes.write_text(HEADER + "a,p,q,x,y,tie\n" + row + "\n")
    assert_refused(evalkit("analyze", votes, "--out", tmp_path / "out"), *parts)
    assert not (tmp_path / "out").exists()


def test_analyze_says_what_it_lacks(tmp_path):
    assert_refused(evalkit("analyze", tmp_path / "none.csv", "--out", tmp_path), "no such file")
    assert_refused(evalkit("analyze", tmp_path / "votes.csv"), "--out DIR")
    for option in ("--format=arena", "--out-of-core"):
        assert_refused(evalkit("analyze", tmp_path, option), option.split("=")[0], "leave it out")
    file = ("analyze", tmp_path / "votes.csv", "--out", tmp_path / "out")
    assert_refused(evalkit(*file, "--early"), "--early", "leave it out")
    assert_refused(evalkit(*file, "--ties", "hlaf"), '--ties: "hlaf"', 'did you mean "half"')
    assert_refused(evalkit(*file, "--interval", "wald"), '--interval: "wald"', "two-way")
    assert_refused(evalkit(*file, "--format", "arna"), '--format: "arna"', 'did you mean "arena"')
    empty = tmp_path / "votes.csv"
    empty.write_text(HEADER)
    assert_refused(evalkit("analyze", empty, "--out", tmp_path / "out"), "no votes in it")


def test_a_bug_of_ours_is_not_hidden(tmp_path, monkeypatch):
    from evalkit import cli, presets

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(presets, "init_study", broken)
    monkeypatch.setattr(sys, "argv", ["evalkit", "init", str(tmp_path / "mine")])
    with pytest.raises(ZeroDivisionError):
        cli.main()
