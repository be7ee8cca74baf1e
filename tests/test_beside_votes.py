"""What metrics of pairs, sets and seeds gave, in the analysis of a study and on its page."""

import pandas as pd
import pytest

from evalkit import tables
from evalkit.collection import open_collection
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.result_tables.beside_votes import read_beside
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from tests.study_factory import NOW, make_study


@pytest.fixture
def study(tmp_path):
    """A study with all its votes, simulated."""
    folder = make_study(tmp_path / "study", n_prompts=8, trials_per_annotator=24)
    store = open_collection(folder, NOW)
    images = folder.read_images()["image_id"]
    flat = {(question.id, name): 0.0 for question in folder.study.questions for name in images}
    simulate_sessions(folder, store, flat, Population(), seed=1, now=NOW)
    store.close()
    return folder


def judged(pairs: pd.DataFrame) -> pd.DataFrame:
    """Answers of a judge that always prefers the image shown first, by .8."""
    rows = pairs[["pair_id", "prompt_id", "seed", "model_a", "model_b"]]
    said = {"a_when_first": 0.8, "a_when_second": 0.2, "score": 0.5}
    return rows.assign(question_id="quality", metric="vlm_judge", weights="small", **said)


def test_judges_sets_and_variety_stand_in_tables_and_on_the_page(study):
    pairs = tables.read(study.pairs_file, tables.PAIRS)
    tables.write(judged(pairs), study.judgements / "vlm_judge.csv", tables.JUDGEMENTS)
    distance = {"ci_low": 0.01, "ci_high": 0.03, "n": 8, "n_reference": 40, "method": "made up"}
    of_set = pd.DataFrame(
        [{"metric": "kid", "weights": "w", "model": "secret-alpha", "score": 0.02,
          "reference": "photographs", **distance}]
    )  # fmt: skip
    tables.write(of_set, study.sets / "kid.csv", tables.SET_SCORES)
    spread = pd.DataFrame({"prompt_id": ["p001", "p002"], "score": [0.25, 0.5]})
    spread = spread.assign(model="secret-alpha", metric="lpips_diversity", weights="w", n=2)
    tables.write(spread, study.spreads / "lpips_diversity.csv", tables.SPREADS)

    found = analyze_study(study)
    bias = found["judge_bias"].iloc[0]
    assert (bias["first_share"], bias["contradictions"]) == (1.0, 1.0)
    assert bias["n"] == 2 * len(pairs)
    assert found["sets"]["score"].tolist() == [0.02]
    assert found["spreads"]["mean"].tolist() == [0.375]  # (.25 + .5) / 2
    page = write_report(study, NOW).read_text("utf-8")
    for table in ("judge-bias", "sets", "spreads"):
        assert f'<table id="table-{table}">' in page
    assert '<data value="0.375">' in page


def test_a_folder_that_is_not_there_gives_no_rows(tmp_path):
    assert read_beside(tmp_path / "sets", tables.SET_SCORES).empty
