"""`evalkit simulate`: through the real store, what was planted comes out, all of it labelled."""

import io
import json
import shutil
import sqlite3
import sys

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from evalkit import tables
from evalkit.analysis import ratings
from evalkit.cli import app
from evalkit.collection import invite, open_collection
from evalkit.errors import EvalkitError, StudyError
from evalkit.monitoring import overview
from evalkit.result_tables import analyze_study
from evalkit.simulate import Population, gap_of, simulate_comparisons
from evalkit.simulated_study import Planted, simulate_study, state_strengths
from evalkit.store import open_store
from study_app.dashboard import door, headline
from study_app.dashboard.exports import exports
from study_app.dashboard.gate import Logins
from study_app.dashboard.server import SCRIPT
from study_app.dashboard.watched import Watched, watch
from tests.people import Person, after
from tests.study_factory import MODELS, NOW, make_study
from tests.test_cli import assert_refused, evalkit

STRENGTHS = {"secret-alpha": 1.0, "secret-beta": 0.0, "secret-gamma": -1.0}
OPTIONS = (
    "--strength", "secret-alpha=1", "--strength", "secret-gamma=-1", "--tie-weight", "0.3",
    "--seconds-per-vote", "5", "--seed", "7", "--straight-lining-share", "0.1",
)  # fmt: skip


# ---- what is planted is found again


def test_strengths_ties_and_the_left_bias_are_recovered():
    """Without effects Davidson's model with a position effect is the very model that was planted.

    9,600 votes; errors as fitted, and none farther off than 4 of them.
    """
    frame = simulate_comparisons(
        STRENGTHS, n_prompts=800, votes_per_prompt=4, n_annotators=60, seed=11, tie_weight=0.5,
        left_bias=0.3,
    )  # fmt: skip
    found = ratings(frame, ties="model", position=True).set_index("model")
    assert found["converged"].all()
    for model, strength in STRENGTHS.items():  # their mean is zero, as that of ratings
        error = found.loc[model, "se"]
        assert abs(found.loc[model, "rating"] - strength) < 4 * error < 0.2
    assert found["tie_parameter"].iloc[0] == pytest.approx(0.5, abs=0.06)
    low, high = found["position_low"].iloc[0], found["position_high"].iloc[0]
    assert low < 0.3 < high
    assert low > 0.15


def test_effects_are_recovered_as_what_they_do_to_the_win_rate():
    """With effects a rating is smaller than the strength: that of the share over all prompts and
    annotators. Two models: log(.6 / .4) = .405, half of it to each side."""
    people = Population(prompt_sd=1.0, annotator_sd=0.6)
    gap = gap_of(0.6, people)
    assert gap > 0.47
    frame = simulate_comparisons(
        {"x": gap, "y": 0.0}, n_prompts=1500, votes_per_prompt=4, n_annotators=300, seed=2,
        prompt_sd=1.0, annotator_sd=0.6,
    )  # fmt: skip
    found = ratings(frame).set_index("model")
    assert found.loc["x", "ci_low"] < 0.2027 < found.loc["x", "ci_high"]
    assert found.loc["x", "ci_high"] - found.loc["x", "ci_low"] < 0.12


# ---- the command


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A study of 240 planned votes after `evalkit simulate`, and what it printed as JSON."""
    folder = make_study(
        tmp_path_factory.mktemp("simulated") / "study", n_prompts=20, trials_per_annotator=40,
        repeat_share=0.2,
    )  # fmt: skip
    done = evalkit("simulate", folder.root, *OPTIONS, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def analysed(simulated):
    folder, _ = simulated
    done = evalkit("analyze", folder.root, "--by", "category")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


UNSCORED = {
    "scores", "sets", "spreads", "judge_bias", "disagreements", "metric_agreement", "metric_bins",
    "metric_differences",
}  # fmt: skip


def assert_labelled(written):
    """Every row of these tables says SIMULATED VOTES; those without votes may have no row."""
    for path in written:
        frame = pd.read_csv(path, keep_default_na=False)
        if len(frame):
            assert (frame["vote_source"] == tables.SIMULATED).all(), path.name
        else:
            assert path.stem in UNSCORED  # nothing was scored


def test_json_says_who_sat_for_how_long_and_what_was_planted(simulated):
    folder, told = simulated
    with sqlite3.connect(folder.root / "votes.sqlite") as store:
        votes, took = store.execute("select count(*), sum(response_ms) from votes").fetchone()
        sat = store.execute("select count(distinct annotator_id) from trials").fetchone()[0]
    assert told["vote_source"] == tables.SIMULATED
    assert told["study"] == "factory"
    assert told["annotators"] == sat
    assert sum(told["votes"].values()) == votes
    assert set(told["votes"]) == {"main", "attention", "repeat"}
    assert told["planned"] == told["given"] == 240
    assert told["minutes"] == pytest.approx(took / 60_000)
    # 5 s a vote: 5 / 60 minutes, 4 standard errors of a log-normal of sd .45: +- 4 * 2.4 / sqrt(n)
    assert told["minutes"] / votes * 60 == pytest.approx(5.0, abs=4 * 2.4 / votes**0.5)
    planted = told["planted"]
    assert planted["strengths"] == {"alignment": STRENGTHS, "quality": STRENGTHS}
    assert planted["population"]["tie_weight"] == 0.3
    assert planted["seed"] == 7
    assert planted == json.loads(folder.simulation_file.read_text("utf-8"))


def test_the_store_says_that_all_is_simulated(simulated):
    folder, told = simulated
    with sqlite3.connect(folder.root / "votes.sqlite") as store:
        assert store.execute(
            "select min(simulated), max(simulated) from annotators"
        ).fetchone() == (1, 1)
        [(detail,)] = store.execute("select detail from log where event = 'simulate'").fetchall()
    assert detail.startswith(tables.SIMULATED)
    assert json.loads(detail.removeprefix(tables.SIMULATED)) == told["planted"]


def test_status_says_it(simulated):
    folder, told = simulated
    done = evalkit("status", folder.root, "--json")
    state = json.loads(done.stdout)
    assert state["vote_source"] == tables.SIMULATED
    assert state["reception"]["simulated"] == sum(told["votes"].values())
    assert state["reception"]["alarm"] is None
    assert tables.SIMULATED in evalkit("status", folder.root).stdout


def test_analyze_says_it_in_every_table(analysed):
    folder, said = analysed
    assert tables.SIMULATED in said
    written = sorted(folder.analysis.glob("*.csv"))
    assert {"win_rates", "win_rates_by_category", "ratings", "elo"} <= {p.stem for p in written}
    assert_labelled(written)
    summary = json.loads((folder.analysis / "summary.json").read_text("utf-8"))
    assert tables.SIMULATED in summary["simulation"]["votes"]


def test_the_planted_order_comes_out_of_the_study(analysed):
    folder, _ = analysed
    found = tables.read(folder.analysis / "ratings.csv", tables.RATINGS)
    for _, asked in found.groupby("question_id"):
        assert asked.sort_values("rating", ascending=False)["model"].tolist() == list(STRENGTHS)


def test_the_report_says_it(analysed):
    folder, _ = analysed
    done = evalkit("report", folder.root)
    assert done.returncode == 0, done.stderr
    page = (folder.report / "index.html").read_text("utf-8")
    assert page.count(tables.SIMULATED) >= 5
    assert_labelled(sorted((folder.report / "tables").glob("*.csv")))
    assert "were made by simulated annotators, not by people" in page
    assert "secret-gamma" in page
    assert "tie weight" in page


def test_who_straight_lines_is_named(simulated):
    folder, told = simulated
    store = open_store(folder.store_address)
    votes = store.votes().merge(store.trials(), on="trial_id")
    store.close()
    one_side = votes.groupby("annotator_id")["choice"].nunique() == 1
    lines = sorted(one_side[one_side].index)
    assert len(lines) >= 1
    assert told["straight_lining"] == lines
    assert told["speeding"] == []


def test_words_say_the_same_and_a_second_run_adds_nothing(simulated):
    folder, told = simulated
    done = evalkit("simulate", folder.root, *OPTIONS)
    assert done.returncode == 0, done.stderr
    votes, minutes = sum(told["votes"].values()), told["minutes"]
    assert done.stdout.startswith(
        f"SIMULATED VOTES: {told['annotators']} simulated annotators gave {votes} votes (240 main, "
    )
    for part in (
        "240 of 240 planned votes are there",
        f"{minutes:,.0f} minutes of voting",
        "tie weight 0.3",
        "Planted strengths on quality (log-odds): secret-alpha +1, secret-beta +0, secret-gamma -1",
        f"Next: evalkit analyze {folder.root}\n",
    ):
        assert part in done.stdout


def test_people_can_not_be_asked_afterwards(simulated):
    folder, _ = simulated
    for command in ("invite", "serve"):
        done = evalkit(command, folder.root)
        assert_refused(done, "holds SIMULATED VOTES, and no person may vote beside them", "copy")


def test_other_strengths_do_not_mix_with_these(simulated):
    folder, _ = simulated
    before = folder.simulation_file.read_bytes(), len(open_store(folder.store_address).votes())
    said = mistake(folder.root, *OPTIONS, "--strength", "secret-beta=2")
    assert "were simulated from other strengths (see simulation.json)" in said
    assert "from another population" in mistake(folder.root, *OPTIONS, "--prompt-sd", "1")
    assert "from another seed" in mistake(folder.root, *OPTIONS, "--seed", "8")
    after_all = folder.simulation_file.read_bytes(), len(open_store(folder.store_address).votes())
    assert after_all == before


def test_so_many_annotators_sit_and_more_go_on(tmp_path):
    folder = make_study(tmp_path / "study")  # 36 pairs and questions, 2 votes each
    planted = Planted(state_strengths([], None, folder.study), Population())
    done = simulate_study(folder, planted, NOW, annotators=2)
    assert (done.annotators, done.planned, done.is_complete) == (2, 72, False)
    assert 0 < done.given < 72
    words = CliRunner().invoke(app, ["simulate", str(folder.root), "--annotators", "2"]).output
    assert f"{done.given} of 72 planned votes are there" in words
    assert words.endswith("--early\n")
    with pytest.raises(StudyError, match="of 72 planned votes are there"):
        analyze_study(folder)
    assert simulate_study(folder, planted, NOW).given == 72


def test_strengths_by_question_come_from_a_file(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=3, votes_per_pair=1)
    file = tmp_path / "strengths.toml"
    file.write_text("[quality]\nsecret-alpha = 2.0\n")
    done = evalkit("simulate", folder.root, "--strengths", file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["planted"]["strengths"] == {
        "quality": {"secret-alpha": 2.0, "secret-beta": 0.0, "secret-gamma": 0.0},
        "alignment": dict.fromkeys(MODELS, 0.0),
    }


# ---- mistakes


def mistake(*arguments):
    """What `evalkit simulate` says of its arguments, in this process."""
    done = CliRunner().invoke(app, ["simulate", *map(str, arguments)])
    assert isinstance(done.exception, EvalkitError), done.output
    assert done.output == ""
    return str(done.exception)


def listing(folder):
    return sorted(str(path.relative_to(folder.root)) for path in folder.root.rglob("*"))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("untouched") / "study", n_prompts=2)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--strength", "secret-alhpa=1"], ['unknown model "secret-alhpa"', '"secret-alpha"?']),
        (["--strength", "secret-alpha"], ["allowed is MODEL=NUMBER", "secret-alpha=0.5"]),
        (["--strength", "secret-alpha=much"], ['--strength "secret-alpha=much"']),
        (["--strength", "secret-alpha=nan"], ["the strength of secret-alpha is nan"]),
        (["--strength", "secret-alpha=1", "--strength", "secret-alpha=2"], ["twice"]),
        (["--strength", "secret-alpha=1", "--strengths", "x.toml"], ["exclude each other"]),
        (["--strengths", "none.toml"], ["none.toml: no such file"]),
        (["--careless-share", "1.2"], ["careless_share = 1.2; allowed is 0 to 1"]),
        (["--prompt-sd", "-1"], ["prompt_sd = -1; allowed is 0 or more"]),
        (["--straight-lining-share", "0.7", "--speeding-share", "0.7"], ["more than all"]),
        (["--seconds-per-vote", "0"], ["seconds_per_vote = 0; allowed is a number above 0"]),
        (["--seconds-per-vote", "1e308"], ["seconds_per_vote = 1e+308; allowed is", "up to 3600"]),
        (["--annotators", "0"], ["annotators = 0; allowed is 1 or more"]),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_the_study_as_it_was(untouched, options, parts):
    before = listing(untouched)
    said = mistake(untouched.root, *options)
    assert "\n" not in said
    for part in parts:
        assert part in said
    assert listing(untouched) == before


def test_a_process_ends_with_exit_code_2(untouched):
    before = listing(untouched)
    done = evalkit("simulate", untouched.root, "--strength", "secret-alhpa=1")
    assert_refused(done, 'unknown model "secret-alhpa"', 'did you mean "secret-alpha"?')
    assert listing(untouched) == before


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("secret-alpha = ", ["not valid TOML"]),
        ("[qualiti]\nsecret-alpha = 1", ['unknown question "qualiti"', 'did you mean "quality"?']),
        ("[quality]\nother = 1", ['unknown model "other"']),
        ('secret-alpha = "strong"', ["the strength of secret-alpha is 'strong'"]),
    ],
)
def test_a_mistake_in_the_file_of_strengths(untouched, tmp_path, text, parts):
    file = tmp_path / "strengths.toml"
    file.write_text(text)
    before = listing(untouched)
    said = mistake(untouched.root, "--strengths", file)
    for part in ("strengths.toml", *parts):
        assert part in said
    assert listing(untouched) == before


def test_a_study_with_votes_of_people_is_refused(tmp_path):
    folder = make_study(tmp_path / "study")
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann").vote(3)
    before = listing(folder)
    done = evalkit("simulate", folder.root)
    assert_refused(done, "holds 3 votes of people, and no simulated vote may stand beside theirs")
    assert not folder.simulation_file.exists()
    assert [name for name in listing(folder) if "-wal" not in name and "-shm" not in name] == [
        name for name in before if "-wal" not in name and "-shm" not in name
    ]
    assert len(store.votes()) == 3
    assert not store.has_simulated()
    store.close()


def test_a_study_to_which_people_are_invited_is_refused(tmp_path):
    folder = make_study(tmp_path / "study")
    assert len(invite(folder, 2, NOW, "http://localhost")) == 2
    assert "has invited 2 people" in mistake(folder.root)
    assert not folder.simulation_file.exists()


def test_votes_without_what_they_were_simulated_from_are_refused(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    planted = Planted(state_strengths([], None, folder.study), Population())
    simulate_study(folder, planted, NOW, annotators=1)
    folder.simulation_file.unlink()
    assert "simulation.json: is missing" in mistake(folder.root)


def test_a_study_without_images_is_refused_and_nothing_is_written(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    shutil.rmtree(folder.images / "secret-beta")
    before = listing(folder)
    assert "2 of 6 images are missing" in mistake(folder.root)
    assert listing(folder) == before


# ---- the coordinator's page


def test_the_overview_says_it_and_no_other(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    store = open_collection(folder, NOW)
    assert overview(store, folder.received, NOW).vote_source == ""
    planted = Planted(state_strengths([], None, folder.study), Population())
    simulate_study(folder, planted, NOW)
    assert overview(store, folder.received, after(60)).vote_source == tables.SIMULATED
    store.close()


def test_the_dashboard_says_it_and_so_does_each_file_of_its_export(simulated, monkeypatch):
    folder, told = simulated
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # AppTest replaces it
    for module in (door, headline):
        monkeypatch.setattr(module, "is_admitted", lambda _: True)
    store = open_store(folder.store_address)
    watch(Watched(store, folder.received, "factory", Logins("a long password")))
    done = AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert not done.exception
    assert [warning.value for warning in done.warning] == ["SIMULATED VOTES: no person voted here"]
    files = {name: pd.read_csv(io.BytesIO(make())) for name, make in exports(store).items()}
    assert len(files["votes"]) == sum(told["votes"].values())
    for name, frame in files.items():
        assert frame["vote_source"].eq(tables.SIMULATED).all(), name
        assert len(frame) > 0
    store.close()
