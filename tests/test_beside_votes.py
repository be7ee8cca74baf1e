"""What metrics of pairs, sets and seeds gave, in the analysis of a study and on its page."""

import pandas as pd
import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.errors import StudyError
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.result_tables.metric_files import read_scores, read_sets, read_spreads
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from evalkit.study_folder import StudyFolder
from tests.study_factory import MODELS, NOW, make_study


@pytest.fixture
def study(tmp_path):
    """A study with all its votes, simulated."""
    folder = make_study(tmp_path / "study", n_prompts=4, seeds=(0, 1), trials_per_annotator=24)
    store = open_collection(folder, NOW)
    images = folder.read_images()["image_id"]
    flat = {(question.id, name): 0.0 for question in folder.study.questions for name in images}
    simulate_sessions(folder, store, flat, Population(), seed=1, now=NOW)
    store.close()
    return folder


def judged(study: StudyFolder) -> pd.DataFrame:
    """Answers of a judge that always prefers the image shown first, by .8."""
    pairs = tables.read(study.pairs_file, tables.PAIRS)
    rows = pairs[["pair_id", "prompt_id", "seed", "model_a", "model_b"]]
    said = {"a_when_first": 0.8, "a_when_second": 0.2, "score": 0.5}
    rows = rows.assign(metric="vlm_judge", weights="small", **said)
    questions = [question.id for question in study.study.questions]
    return pd.concat([rows.assign(question_id=name) for name in questions], ignore_index=True)


def distances() -> pd.DataFrame:
    """Of each model, with its eight images, to photographs."""
    of_set = pd.DataFrame({"model": list(MODELS), "score": [0.02, 0.03, 0.04]})
    return of_set.assign(
        metric="kid", weights="w", ci_low=0.01, ci_high=0.05, n=8, n_reference=40,
        reference="photographs", method="made up",
    )  # fmt: skip


def spreads() -> pd.DataFrame:
    """Of each prompt and model, whose two seeds differ by .25 or .5."""
    frame = pd.DataFrame(
        [(f"p{i:03d}", model, 0.25 + 0.25 * (i % 2)) for i in range(4) for model in MODELS],
        columns=["prompt_id", "model", "score"],
    )
    return frame.assign(metric="lpips_diversity", weights="w", n=2)


def test_judges_sets_and_variety_stand_in_tables_and_on_the_page(study):
    answers = judged(study)
    tables.write(answers, study.judgements / "vlm_judge.csv", tables.JUDGEMENTS)
    tables.write(distances(), study.sets / "kid.csv", tables.SET_SCORES)
    tables.write(spreads(), study.spreads / "lpips_diversity.csv", tables.SPREADS)

    found = analyze_study(study)
    bias = found["judge_bias"].iloc[0]
    assert (bias["first_share"], bias["contradictions"]) == (1.0, 1.0)
    assert bias["n"] == len(answers)  # two answers on each pair, of two questions
    assert found["sets"]["score"].tolist() == [0.02, 0.03, 0.04]
    assert found["spreads"]["mean"].tolist() == [0.375] * 3  # (.25 + .5) / 2
    page = write_report(study, NOW).read_text("utf-8")
    for table in ("judge-bias", "sets", "spreads"):
        assert f'<table id="table-{table}">' in page
    assert '<data value="0.375">' in page


REFUSED = {
    "a model lacks": (read_sets, distances().iloc[1:], "not every model of the study"),
    "fewer images": (read_sets, distances().assign(n=7), "with all its images"),
    "a model of before": (
        read_sets,
        pd.concat([distances(), distances().iloc[:1].assign(model="gone")]),
        "not every model of the study",
    ),
    "reference of before": (
        read_sets, distances().assign(reference="model:gone"), "w against model:gone.*--reference",
    ),
    "a prompt lacks": (read_spreads, spreads().iloc[1:], "not every prompt and model"),
    "fewer seeds": (read_spreads, spreads().assign(n=3), "with all its images"),
    "a spread of before": (
        read_spreads,
        pd.concat([spreads(), spreads().iloc[:1].assign(model="gone")]),
        "not every prompt and model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_sets_and_spreads_that_are_not_of_the_whole_study_are_refused(tmp_path, case):
    read, frame, said = REFUSED[case]
    study = make_study(tmp_path / "study", n_prompts=4, seeds=(0, 1))
    file = study.sets / "kid.csv" if read is read_sets else study.spreads / "lpips.csv"
    whole = distances() if read is read_sets else spreads()
    table = tables.SET_SCORES if read is read_sets else tables.SPREADS
    tables.write(whole, file, table)
    assert len(read(study, study.read_images())) == len(whole)
    tables.write(frame, file, table)
    with pytest.raises(StudyError, match=said):
        read(study, study.read_images())


def test_the_weights_that_lack_scores_are_named(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2)
    images = study.read_images()
    scores = images[["image_id", "prompt_id", "model", "seed"]]
    scores = scores.assign(metric="clip_score", score=1.0, truncated=False)
    both = pd.concat(
        [scores.assign(weights="whole"), scores.iloc[1:].assign(weights="other/lacks")]
    )
    tables.write(both, study.scores / "clip_score.csv", tables.SCORES)
    with pytest.raises(StudyError, match=r"weights: other/lacks\).*--weights NAME.*remove those"):
        read_scores(study, images)


def test_without_tables_there_are_no_rows(tmp_path):
    study = make_study(tmp_path / "study", n_prompts=2)
    for read in (read_scores, read_sets, read_spreads):
        assert read(study, study.read_images()).empty
