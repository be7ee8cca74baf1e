"""Result tables of a whole study: simulated sessions through the real store, then analysis."""

import json

import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.result_tables import analyze_file, analyze_study
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from tests.people import Person
from tests.study_factory import NOW, make_study

LOOKING = Population(tie_weight=0.3)
STRENGTHS = {"secret-alpha": 1.5, "secret-beta": 0.0, "secret-gamma": -1.5}


def utilities(folder):
    images = folder.read_images()
    return {
        (question.id, image_id): STRENGTHS[model]
        for question in folder.study.questions
        for image_id, model in zip(images["image_id"], images["model"], strict=True)
    }


@pytest.fixture
def voted(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=8, repeat_share=0.1, trials_per_annotator=24)
    store = open_collection(folder, NOW)
    simulate_sessions(folder, store, utilities(folder), LOOKING, seed=1, now=NOW)
    return folder


def scores_of(images, metric="clip_score"):
    return images[["image_id", "prompt_id", "model", "seed"]].assign(
        metric=metric, score=np.arange(len(images), dtype=float), weights="w", truncated=False
    )


def test_every_pair_is_voted_on_as_often_as_planned(voted):
    comparisons = analyze_study(voted)["comparisons"]
    main = comparisons[comparisons["kind"] == "main"]
    counts = main.groupby(["question_id", "pair_id"]).size()
    assert len(counts) == 2 * 3 * 8
    assert counts.eq(voted.study.design.votes_per_pair).all()
    assert (comparisons["vote_source"] == tables.SIMULATED).all()


def test_the_stated_order_comes_out(voted):
    ratings = analyze_study(voted)["ratings"]
    for _, asked in ratings.groupby("question_id"):
        assert asked["model"].tolist() == sorted(STRENGTHS)


def test_a_stopped_simulation_goes_on_and_ends_complete(tmp_path):
    folder = make_study(tmp_path / "study", n_prompts=8, trials_per_annotator=24)
    store = open_collection(folder, NOW)

    class StoppedError(Exception):
        pass

    def stop(votes):
        raise StoppedError

    with pytest.raises(StoppedError):
        simulate_sessions(folder, store, utilities(folder), LOOKING, seed=1, now=NOW, on_votes=stop)
    early = len(store.votes())
    assert early > 0
    simulate_sessions(folder, store, utilities(folder), LOOKING, seed=1, now=NOW)
    assert len(store.votes()) > early
    main = analyze_study(folder)["comparisons"].query("kind == 'main'")
    assert main.groupby(["question_id", "pair_id"]).size().eq(2).all()
    assert simulate_sessions(folder, store, utilities(folder), LOOKING, seed=1, now=NOW) == 0


def test_comparisons_read_back_give_the_same_tables(voted, tmp_path):
    """Repeats do not count and simulated votes stay labelled, from a file as from the study."""
    own = analyze_study(voted)
    again = analyze_file(voted.analysis / "comparisons.csv", tmp_path / "out")
    assert (own["comparisons"]["kind"] == "repeat").any()
    for name in ("win_rates", "ratings"):
        pd.testing.assert_frame_equal(again[name], own[name])
        written = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        assert (written["vote_source"] == tables.SIMULATED).all()


def summary_of(folder):
    return json.loads((folder.analysis / "summary.json").read_text())["planned_votes"]


def test_an_early_look_is_taken_only_when_wanted_and_every_later_summary_tells_it(tmp_path):
    folder = make_study(tmp_path / "study", votes_per_pair=1)  # 18 pairs, 2 questions
    store = open_collection(folder, NOW)
    Person(store, folder.received, "ann").vote(5)
    given = int(store.pair_votes()["voted"].sum())
    with pytest.raises(StudyError, match=f"{given} of 36 planned votes are there.*add --early"):
        analyze_study(folder)
    assert not folder.analysis.exists()
    assert store.log().empty
    analyze_study(folder, early_at=NOW)
    look = {"at": NOW, "given": given, "planned": 36}
    assert summary_of(folder) == {"given": given, "planned": 36, "early_looks": [look]}
    for number in range(5):
        Person(store, folder.received, f"other{number}").vote(24)
    analyze_study(folder)
    assert summary_of(folder) == {"given": 36, "planned": 36, "early_looks": [look]}
    analyze_study(folder, early_at=NOW)  # no longer early
    assert len(summary_of(folder)["early_looks"]) == 1
    store.close()


def test_scores_of_other_images_are_refused(voted):
    images = voted.read_images()
    path = voted.scores / "clip_score.csv"
    tables.write(scores_of(images), path, tables.SCORES)
    assert analyze_study(voted)["scores"]["n"].tolist() == [8, 8, 8]
    stale = scores_of(images).replace({"image_id": {images["image_id"].iloc[0]: "0" * 32}})
    tables.write(stale, path, tables.SCORES)
    with pytest.raises(StudyError, match="not every image .* evalkit score .* --metric clip_score"):
        analyze_study(voted)


def test_a_changed_study_is_not_analysed(voted):
    file = voted.root / "study.toml"
    file.write_text(file.read_text().replace("looks better made", "is uglier"))
    with pytest.raises(StudyError, match="study.toml has changed"):
        analyze_study(type(voted)(voted.root))


def test_changed_prompts_lose_no_vote_silently(voted):
    prompts = voted.read_prompts()
    tables.write(prompts.head(4), voted.prompts_file, tables.PROMPTS)
    with pytest.raises(StudyError, match="changed"):
        analyze_study(voted)


def test_no_votes_no_tables(tmp_path):
    folder = make_study(tmp_path / "study")
    open_collection(folder, NOW)
    with pytest.raises(StudyError, match="no votes yet"):
        analyze_study(folder)
    assert not folder.analysis.exists()
