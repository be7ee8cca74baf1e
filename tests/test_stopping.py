"""The stopping rule: what status, analyze and report show at any time, and what they then say."""

import json

import pandas as pd
import pytest

from evalkit import tables
from evalkit.anytime_status import anytime_status
from evalkit.collection import open_collection
from evalkit.early_looks import HOLDS, planned_prompts
from evalkit.errors import StudyError
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from evalkit.store import open_store
from evalkit.study import parse_study
from evalkit.study_folder import StudyFolder
from evalkit.study_sections import Stopping
from evalkit.wording import OF_WHOM, anytime_lines, decision_words
from tests.people import Person
from tests.study_factory import MODELS, NOW, make_study
from tests.test_cli import assert_refused, evalkit

BEFORE = "2024-01-01T10:00:00.000+00:00"
SECTION = '\n[stopping]\nrule = "anytime"\n'


def with_section(folder: StudyFolder, section: str = SECTION) -> StudyFolder:
    file = folder.root / "study.toml"
    file.write_text(file.read_text("utf-8") + section, "utf-8")
    return StudyFolder(folder.root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 planned votes on two pairs; nine people choose image a, model_a's, and one is bored."""
    first, *others = MODELS
    folder = with_section(
        make_study(
            tmp_path_factory.mktemp("stopping") / "study",
            n_prompts=15, votes_per_pair=1, trials_per_annotator=8, attention_share=0,
            repeat_share=0, pairs=[[first, other] for other in others],
        )
    )  # fmt: skip
    store = open_collection(folder, NOW)
    for number in range(9):
        Person(store, folder.received, f"person{number}", BEFORE).vote(4)
    Person(store, folder.received, "bored", BEFORE).vote(1, choice="tie")
    store.close()
    return folder


@pytest.fixture(scope="module")
def state(folder):
    done = evalkit("status", folder.root, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words(text: str) -> str:
    return " ".join(text.split())


def test_status_has_a_row_per_question_and_pair(folder, state):
    assert (state["given"], state["planned"]) == (37, 60)
    assert state["stopping_rule"] == "anytime"
    rows = pd.DataFrame(state["anytime"])
    assert rows["question_id"].tolist() == ["alignment"] * 2 + ["quality"] * 2
    assert set(rows["model_a"]) == {"secret-alpha"}
    assert rows["n"].sum() == 37
    assert set(rows.columns) == {*tables.ANYTIME.names} - {"vote_source"}
    quality = rows[rows["question_id"] == "quality"]
    assert set(quality["decision"]) <= {"decided", "go on"}
    assert (quality["decision"] == "decided").any()
    assert (quality.loc[quality["decision"] == "decided", "ci_low"] > 0.5).all()


def test_the_page_of_status_says_rule_decision_and_pool(folder, state):
    done = evalkit("status", folder.root)
    assert done.returncode == 0, done.stderr
    said = words(done.stdout)
    assert f"Stopping rule anytime: {HOLDS}." in said
    assert "decided for secret-alpha" in said
    assert OF_WHOM in said
    for row in state["anytime"]:
        assert f"{row['n']} votes, {row['n_annotators']} annotators)" in said
        assert row["warning"].startswith(f"SMALL POOL: {row['n_annotators']} annotators voted")


def test_with_the_rule_planned_status_stays_blind(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=3)
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann", BEFORE).vote(4)
    assert anytime_status(folder, store) is None
    store.close()
    done = evalkit("status", folder.root, "--json")
    assert not {"stopping_rule", "anytime"} & set(json.loads(done.stdout))
    assert not any(model in done.stdout for model in MODELS)
    assert_refused(evalkit("analyze", folder.root), "planned votes are there", "add --early")


def test_the_rule_cannot_be_changed_to_look(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=3)
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann", BEFORE).vote(4)
    store.close()
    with_section(folder)
    assert_refused(evalkit("status", folder.root), "study.toml has changed")
    assert_refused(evalkit("analyze", folder.root), "study.toml has changed")


def test_before_the_first_vote_status_says_so(tmp_path):
    folder = with_section(make_study(tmp_path / "study", n_prompts=12))
    open_collection(folder, NOW).close()
    done = evalkit("status", folder.root, "--json")
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout)["anytime"]:
        assert (row["n"], row["win_rate_a"], row["decision"]) == (0, None, "go on")
    assert "no votes" in evalkit("status", folder.root).stdout


def test_analyze_and_report_run_at_any_time_and_say_the_rule(folder, state):
    done = evalkit("analyze", folder.root)
    assert done.returncode == 0, done.stderr
    banner = f"STOPPING RULE anytime: 37 of 60 planned votes; {HOLDS}"
    assert done.stdout.splitlines()[0] == banner
    assert "decided for secret-alpha; win rate of secret-alpha" in done.stdout
    assert "preferred" not in done.stdout  # that would hold at the planned end only
    assert "The other tables hold at the planned end only." in done.stdout
    written = tables.read(folder.analysis / "anytime.csv", tables.ANYTIME)
    assert written["p_value"].tolist() == pytest.approx([r["p_value"] for r in state["anytime"]])
    told = json.loads((folder.analysis / "summary.json").read_text("utf-8"))
    assert told["stopping"] == {"rule": "anytime", "holds": HOLDS}
    assert told["planned_votes"] == {"given": 37, "planned": 60, "early_looks": []}
    done = evalkit("report", folder.root)
    assert done.returncode == 0, done.stderr
    page = (folder.report / "index.html").read_text("utf-8")
    assert banner in page
    assert "BEFORE THE PLANNED END" in page
    assert "EARLY LOOK" not in page
    assert 'id="table-anytime"' in page
    answer = page[page.index('id="answer"') : page.index('class="legend')]
    assert "decided for secret-alpha" in answer
    assert "preferred" not in answer
    assert "decided for secret-alpha" in page
    assert (folder.report / "tables" / "anytime.csv").is_file()
    store = open_store(folder.store_address)
    assert "early look" not in set(store.log()["event"])  # the rule allows it
    store.close()


def test_at_the_planned_end_only_the_rule_is_said(tmp_path):
    folder = with_section(make_study(tmp_path / "study", n_prompts=2, votes_per_pair=1))
    store = open_collection(folder, NOW)
    for number in range(4):
        Person(store, folder.received, f"person{number}", BEFORE).vote(12)
    store.close()
    done = evalkit("analyze", folder.root)
    assert done.stdout.startswith("STOPPING RULE anytime: 12 of 12 planned votes"), done.stderr
    assert "cannot be decided with 2 votes" in done.stdout
    assert evalkit("report", folder.root).returncode == 0
    page = (folder.report / "index.html").read_text("utf-8")
    assert "STOPPING RULE anytime" in page
    assert "BEFORE THE PLANNED END" not in page


def test_what_is_planned_counts_all_seeds_of_a_prompt(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=3, seeds=(0, 1), votes_per_pair=4)
    open_collection(folder, NOW).close()
    wanted = planned_prompts(folder)
    assert len(wanted) == 2 * 3 * 3
    assert set(wanted["n_votes"]) == {8}


def test_a_rule_that_is_unknown_is_one_sentence(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    text = (folder.root / "study.toml").read_text("utf-8")
    for section, said in (
        (
            'rule = "any time"',
            'stopping.rule = "any time"; allowed are planned, anytime; did you mean "anytime"?',
        ),
        ('rle = "anytime"', 'unknown key "stopping.rle"; allowed are rule'),
    ):
        (folder.root / "study.toml").write_text(f"{text}\n[stopping]\n{section}\n", "utf-8")
        for command in ("status", "analyze", "report"):
            assert_refused(evalkit(command, folder.root), said)


def test_the_rule_is_part_of_the_hash_and_its_default_is_not(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=2)
    path = folder.root / "study.toml"
    plain = folder.study
    assert plain.stopping == Stopping()
    said = parse_study(path.read_text("utf-8") + '\n[stopping]\nrule = "planned"\n', path)
    assert said.sha256 == plain.sha256
    assert parse_study(path.read_text("utf-8") + SECTION, path).sha256 != plain.sha256


def test_the_presets_show_the_section_commented(tmp_path):
    for preset in ("scenes", "sdxl-turbo"):
        root = tmp_path / preset
        assert evalkit("init", root, "--preset", preset).returncode == 0
        path = root / "study.toml"
        text = path.read_text("utf-8")
        shown = '# [stopping]\n# rule = "anytime"\n'
        assert text.count(shown) == 1
        study = parse_study(text.replace(shown, shown.replace("# ", "")), path)
        assert study.stopping.rule == "anytime"


def test_a_changed_study_is_refused_by_name(folder):
    store = open_store(folder.store_address)
    text = (folder.root / "study.toml").read_text("utf-8")
    changed = text.replace("looks better made", "is uglier")
    (folder.root / "study.toml").write_text(changed, "utf-8")
    try:
        with pytest.raises(StudyError, match=r"study\.toml has changed"):
            anytime_status(StudyFolder(folder.root), store)
    finally:
        (folder.root / "study.toml").write_text(text, "utf-8")
        store.close()


def test_simulated_votes_are_labelled(tmp_path):
    folder = with_section(make_study(tmp_path / "study", n_prompts=2))
    store = open_collection(folder, NOW)
    alike = {
        (q.id, i): 0.0 for q in folder.study.questions for i in folder.read_images()["image_id"]
    }
    simulate_sessions(folder, store, alike, Population(), seed=1, now=NOW)
    table = anytime_status(folder, store)
    store.close()
    assert (table["vote_source"] == tables.SIMULATED).all()


def test_words_of_a_decision():
    row = {"question_id": "q", "model_a": "a", "model_b": "b", "decision": "decided",
           "win_rate_a": 0.25, "ci_low": 0.1, "ci_high": 0.4, "n": 40, "n_annotators": 9,
           "planned_votes": 1200, "method": "no interval: it changed; betting"}  # fmt: skip
    assert decision_words(row) == "decided for b"
    assert decision_words(row | {"decision": "go on"}) == "go on"
    cannot = row | {"decision": "cannot be decided"}
    assert decision_words(cannot) == "cannot be decided with 1,200 votes"
    nan = float("nan")
    changed = cannot | {"ci_low": nan, "ci_high": nan}
    unseen = row | {"decision": "go on", "win_rate_a": nan}
    said = anytime_lines(pd.DataFrame([row, changed, unseen]))
    start = "  On q, a against b: "
    assert said[1:] == [
        start + "decided for b; win rate of a 25% (10% to 40%; 40 votes, 9 annotators).",
        start + "cannot be decided with 1,200 votes; win rate of a 25% (40 votes, 9 annotators), "
        "no interval: it changed.",
        start + "go on; no votes.",
        f"  {OF_WHOM}",
    ]
