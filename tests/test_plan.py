"""`evalkit plan`: what a study's design can show, in words and as JSON; mistakes."""

import json

import pytest
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.errors import EvalkitError
from evalkit.simulate import simulate_comparisons
from evalkit.tables import COMPARISONS, write
from tests.study_factory import make_study


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three models, 8 prompts, 3 seeds, 2 questions; 4 votes on a pair, so 12 on a prompt."""
    return make_study(
        tmp_path_factory.mktemp("plan") / "study", n_prompts=8, seeds=(0, 1, 2),
        votes_per_pair=4, trials_per_annotator=40, attention_share=0.1, repeat_share=0.1,
    ).root  # fmt: skip


def run(*arguments):
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_design_and_its_cost_by_hand(root):
    """96 votes on a pair x 3 pairs x 2 questions = 576 main trials, over .8: 720 with checks.

    At 40 trials each: 18 annotators; at 6 s a trial: 1.2 hours. Holm's first step: .05 / 3.
    """
    plan = json.loads(run(root, "--json"))
    designed = plan["designed"]
    assert (designed["power"]["n"], designed["trials"]) == (96, 720)
    assert designed["power"]["n_annotators"] == 18
    assert designed["hours"] == pytest.approx(1.2)
    assert plan["alpha"] == pytest.approx(0.05 / 3)
    assert plan["family"] == 3


def test_it_is_said_in_words_with_a_table(root):
    said = run(root)
    assert "96 votes on a pair" in said
    assert "With more prompts: " in said
    assert "annotators   votes a prompt" in said
    assert "That is enough." in run(root, "--win-rate", "0.95", "--prompt-sd", "0")


def test_a_pilot_replaces_what_is_stated_and_simulated_ones_say_so(root, tmp_path):
    votes = simulate_comparisons(
        {"x": 0.4, "y": 0.0}, n_prompts=60, votes_per_prompt=6, n_annotators=12, seed=1
    )
    write(votes, tmp_path / "votes.csv", COMPARISONS)
    plan = json.loads(run(root, "--pilot", tmp_path / "votes.csv", "--json"))
    assert plan["alike"]["source"] == "pilot of 360 votes"
    assert plan["alike"]["prompt"] < 0.05
    assert plan["simulated_pilot"]
    assert run(root, "--pilot", tmp_path / "votes.csv").startswith("SIMULATED VOTES: ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--win-rate", "0.5"], "win rate = 0.5 is no preference"),
        (["--win-rate", "0.50001"], "at least 0.005 from 0.5"),
        (["--power", "2"], "power = 2; allowed is a number between 0 and 1"),
        (["--annotators", "5"], "12 votes on each pair (votes_per_pair x seeds), by 5 annotators"),
        (["--prompt-sd", "-1"], "prompt sd = -1; allowed is 0 to 10"),
        (["--pilot", "nothing"], "--pilot: nothing is neither a study's folder nor a file"),
        (["--pilot", "x.csv", "--prompt-sd", "1"], "say the same thing; leave one out"),
    ],
)
def test_mistakes_are_one_sentence(root, options, sentence):
    with pytest.raises(EvalkitError) as refused:
        run(root, *options)
    assert sentence in str(refused.value)


def test_nobody_takes_more_than_an_hour_over_a_trial(root):
    done = CliRunner().invoke(app, ["plan", str(root), "--seconds-per-vote", "1e308"])
    assert done.exit_code == 2
    assert "should be less than or equal to 3600" in done.output


def test_a_pilot_study_that_was_not_analysed_is_refused(root):
    with pytest.raises(EvalkitError, match="no analysis there"):
        run(root, "--pilot", root)


def test_one_prompt_is_refused(tmp_path):
    alone = make_study(tmp_path / "study", n_prompts=1).root
    with pytest.raises(EvalkitError, match="has one prompt"):
        run(alone)
