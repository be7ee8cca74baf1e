"""Metrics against people in a whole study: its scores and judgements beside its votes, on disk."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import evalkit.result_tables.against_metrics as module
from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.metrics.registry import metric_card
from evalkit.result_tables import Options, analyze_file, analyze_study
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from tests.study_factory import NOW, make_study

NAMES = ("metric_agreement", "metric_bins", "metric_differences", "disagreements")
STRENGTHS = {"secret-alpha": 1.5, "secret-beta": 0.0, "secret-gamma": -1.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study whose votes follow the utility of the images, and whose scores are that utility."""
    folder = make_study(
        tmp_path_factory.mktemp("against") / "study", n_prompts=8, trials_per_annotator=24
    )
    store = open_collection(folder, NOW)
    images = folder.read_images()
    worth = images["model"].map(STRENGTHS) + np.random.default_rng(1).normal(0, 1, len(images))
    utilities = {
        (question.id, image_id): value
        for question in folder.study.questions
        for image_id, value in zip(images["image_id"], worth, strict=True)
    }
    simulate_sessions(folder, store, utilities, Population(tie_weight=0.3), seed=1, now=NOW)
    store.close()
    scores = images[["image_id", "prompt_id", "model", "seed"]].assign(
        metric="clip_score", score=worth, weights="w", truncated=False
    )
    tables.write(scores, folder.scores / "clip_score.csv", tables.SCORES)
    return folder


def judgements_of(folder, metric="clip_score"):
    """A judge that is right about every pair of the scores' metric, on every question."""
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    score = tables.read(folder.scores / "clip_score.csv", tables.SCORES).set_index("image_id")
    ahead = pairs["image_a"].map(score["score"]) > pairs["image_b"].map(score["score"])
    chance = np.where(ahead, 0.9, 0.1)
    judged = pairs.assign(
        metric=metric, weights="judge", score=chance, a_when_first=chance, a_when_second=chance
    )
    questions = [question.id for question in folder.study.questions]
    return pd.concat([judged.assign(question_id=name) for name in questions], ignore_index=True)


@pytest.fixture
def judged(folder):
    path = folder.judgements / "judge.csv"
    tables.write(judgements_of(folder), path, tables.JUDGEMENTS)
    yield path
    path.unlink()


def test_the_four_tables_are_written_and_say_that_votes_are_simulated(folder, tmp_path):
    analysis = analyze_study(folder, out=tmp_path / "out")
    for name in NAMES:
        written = tables.read(tmp_path / "out" / f"{name}.csv", getattr(tables, name.upper()))
        assert len(written) == len(analysis[name]) > 0
        assert (written["vote_source"] == tables.SIMULATED).all()
    questions = {question.id for question in folder.study.questions}
    assert set(analysis["metric_agreement"]["question_id"]) == questions


def test_a_metric_that_people_follow_lies_well_over_chance(folder, tmp_path):
    found = analyze_study(folder, out=tmp_path)["metric_agreement"]
    # Votes are drawn from the very utilities that the scores are.
    assert (found.loc[found["measure"] == "accuracy", "estimate"] > 0.7).all()
    assert (found.loc[found["measure"] == "rank_correlation", "estimate"] == 1).all()


def test_a_judge_stands_beside_the_scores_on_every_question(folder, judged, tmp_path):
    found = analyze_study(folder, out=tmp_path)
    agreement = found["metric_agreement"].query("measure == 'accuracy'")
    of_judge = agreement[agreement["weights"] == "judge"]
    of_scores = agreement[agreement["weights"] == "w"]
    assert of_judge["question_id"].tolist() == ["alignment", "quality"]
    assert of_judge["estimate"].tolist() == of_scores["estimate"].tolist()
    assert set(found["metric_differences"]["question_id"]) == {"", "alignment", "quality"}


def test_judgements_of_other_pairs_are_refused(folder, judged, tmp_path):
    tables.write(judgements_of(folder).iloc[1:], judged, tables.JUDGEMENTS)
    with pytest.raises(StudyError, match="not every pair of the study is judged.*--metric judge"):
        analyze_study(folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["lacking", "of before"])
def test_judgements_of_other_questions_are_refused(folder, judged, tmp_path, change):
    all_of_them = judgements_of(folder)
    quality = all_of_them["question_id"] == "quality"
    other = all_of_them[quality].assign(question_id="beauty")
    kept = all_of_them[quality] if change == "lacking" else pd.concat([all_of_them, other])
    tables.write(kept, judged, tables.JUDGEMENTS)
    with pytest.raises(StudyError, match=r"judged by every question.*weights: judge.*--weights"):
        analyze_study(folder, out=tmp_path / "out")


def test_scores_of_an_unknown_metric_are_refused(folder, judged, tmp_path):
    tables.write(judgements_of(folder, "clip_scores"), judged, tables.JUDGEMENTS)
    with pytest.raises(StudyError, match='scores of "clip_scores".*did you mean "clip_score"'):
        analyze_study(folder, out=tmp_path / "out")


def test_the_card_says_whether_less_is_better(folder, tmp_path, monkeypatch):
    one = analyze_study(folder, out=tmp_path)["metric_agreement"]
    card = replace(metric_card("clip_score"), higher_is_better=False)
    monkeypatch.setattr(module, "metric_card", lambda metric: card)
    other = analyze_study(folder, out=tmp_path)["metric_agreement"]
    right = one["measure"] == "accuracy"
    np.testing.assert_allclose(other.loc[right, "estimate"], 1 - one.loc[right, "estimate"])


def test_level_and_seed_are_those_of_the_analysis(folder, tmp_path):
    one, other = (
        analyze_study(folder, out=tmp_path, options=Options(level=level)) for level in (0.95, 0.8)
    )
    assert (one["scores"]["ci_low"] < other["scores"]["ci_low"]).all()
    one, other = one["metric_agreement"], other["metric_agreement"]
    right = one["measure"] == "accuracy"
    assert (one.loc[right, "ci_low"] < other.loc[right, "ci_low"]).all()


def test_a_file_of_votes_has_no_images_and_so_no_such_tables(folder, tmp_path):
    analyze_study(folder, out=tmp_path / "study")
    found = analyze_file(tmp_path / "study" / "comparisons.csv", tmp_path / "file")
    assert not set(NAMES) & set(found.results)


def test_without_scores_the_tables_are_empty(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=4, trials_per_annotator=24)
    store = open_collection(study, NOW)
    images = study.read_images()
    flat = {(q.id, name): 0.0 for q in study.study.questions for name in images["image_id"]}
    simulate_sessions(study, store, flat, Population(), seed=1, now=NOW)
    store.close()
    found = analyze_study(study)
    assert all(found[name].empty for name in NAMES)
    assert all((study.analysis / f"{name}.csv").is_file() for name in NAMES)
