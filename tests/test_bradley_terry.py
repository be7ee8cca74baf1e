"""Bradley-Terry: published values, choix and statsmodels, one table or many at once."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from evalkit.analysis import bradley_terry
from evalkit.analysis.bradley_terry import fit_strengths
from evalkit.analysis.coding import encode
from evalkit.analysis.matchups import count
from evalkit.analysis.paired_models import fit, fit_counts
from evalkit.errors import EstimateError
from tests.paired_votes import CITATIONS, JOURNALS, matchups, random_votes
from tests.reference import FOLDER, needs_reference, read_json


def test_published_citations():
    # Stigler 1994; coefficients against Biometrika in Turner & Firth, JSS 48(9), section 2.1.
    strengths = fit_strengths(matchups(JOURNALS, CITATIONS).wins)
    assert strengths - strengths[0] == pytest.approx([0, -2.9491, -0.4796, 0.2690], abs=5e-5)
    assert strengths.sum() == pytest.approx(0, abs=1e-10)


def test_a_chain_has_the_closed_form():
    # On a tree each difference is the log of the odds won on that edge.
    chain = matchups(list("ABCD"), [("A", "B", 3, 1, 0), ("B", "C", 5, 2, 0), ("C", "D", 2, 2, 0)])
    expected = [-np.log(3), -np.log(2.5), 0]
    assert np.diff(fit_strengths(chain.wins)) == pytest.approx(expected, abs=1e-8)
    assert np.diff(fit_counts(chain).strengths) == pytest.approx(expected, abs=1e-8)


def test_many_tables_at_once_are_those_one_by_one():
    rng = np.random.default_rng(2)
    wins = rng.integers(1, 30, size=(5, 4, 4)) * (1 - np.eye(4))
    together = fit_strengths(wins, start=np.array([0.3, 0.1, 0.0, -0.4]))
    alone = np.array([fit_strengths(table) for table in wins])
    assert together == pytest.approx(alone, abs=1e-10)
    assert alone.std() > 0.1


def test_the_two_ways_of_fitting_agree():
    coded = encode(random_votes(4))
    strengths = fit_strengths(count(coded).wins)
    assert fit(coded).strengths == pytest.approx(strengths, abs=1e-10)


def test_choix_finds_the_same_strengths():
    choix = pytest.importorskip("choix")
    wins = matchups(JOURNALS, CITATIONS).wins
    witness = choix.ilsr_pairwise_dense(wins, alpha=0, tol=1e-12)
    assert fit_strengths(wins) == pytest.approx(witness - witness.mean(), abs=1e-7)


@needs_reference
@pytest.mark.parametrize(
    "name", ["citations", "chain_sparse", "cycle_balanced", "two_models", "unequal_n"]
)
def test_reference_tables(name):
    expected = read_json("bt.json")[name]
    rows = pd.read_csv(FOLDER / "reference" / f"bt_{name}.csv").assign(tied=0)
    counts = matchups(expected["names"], rows.itertuples(index=False, name=None))
    assert fit_strengths(counts.wins) == pytest.approx(expected["coef_centered"], abs=1e-8)
    fitted = fit_counts(counts)
    assert fitted.strengths == pytest.approx(expected["coef_centered"], abs=1e-8)
    assert np.sqrt(np.diag(fitted.bread)) == pytest.approx(expected["se_centered"], abs=1e-6)
    against_first = np.diag(fitted.bread) + fitted.bread[0, 0] - 2 * fitted.bread[0]
    assert np.sqrt(np.maximum(0, against_first)) == pytest.approx(expected["se_ref0"], abs=1e-6)
    assert fitted.deviance == pytest.approx(expected["deviance"], abs=1e-8)
    assert fitted.freedom == expected["df_resid"]


@needs_reference
def test_the_citations_as_collected_are_the_published_table():
    cited = pd.read_csv(FOLDER / "votes" / "bt2_citations.csv")
    counts = cited.pivot(index="cited", columns="citing", values="count").loc[JOURNALS, JOURNALS]
    wins = counts.to_numpy(dtype=float) * (1 - np.eye(4))
    assert (wins == matchups(JOURNALS, CITATIONS).wins).all()


@needs_reference
def test_published_scales_of_tone_mapping():
    # mantiuk/pwcmp: 1213 forced choices of 18 observers; centred scale values of the data's readme.
    published = {
        "irawan05": 1.187, "mantiuk08": 0.678, "tmo_camera": 0.425, "ronan12": 0.046,
        "ferwerda96": -0.118, "pattanaik00": -0.628, "hateren06": -1.590,
    }  # fmt: skip
    votes = pd.read_csv(FOLDER / "votes" / "pwcmp_tmo.csv")
    frame = pd.DataFrame(
        {
            "annotator_id": votes["observer"],
            "prompt_id": votes["scene"],
            "model_a": votes["condition_A"],
            "model_b": votes["condition_B"],
            "winner": np.where(votes["is_A_selected"] == 1, "model_a", "model_b"),
        }
    )
    fitted = fit(encode(frame))
    assert (fitted.n, fitted.n_prompts, fitted.n_annotators) == (1213, 5, 18)
    strengths = dict(zip(fitted.models, fitted.strengths, strict=True))
    assert strengths == pytest.approx(published, abs=6e-4)
    assert fitted.frame["model"].tolist() == list(published)


@needs_reference
def test_the_two_way_sandwich_of_the_reference_votes():
    votes = pd.read_csv(FOLDER / "reference" / "votes_t2i.csv")
    expected = read_json("bt.json")["votes_t2i_quality"]
    coded = encode(votes[votes["question_id"] == "quality"])
    fitted = fit(coded, small_sample=False)
    reference = coded.models.index(expected["names"][0])
    sandwich = expected["bt_half_sandwich"]
    for name, coefficient, error in zip(
        expected["names"][1:], sandwich["coef_ref0"][1:], sandwich["se"]["twoway"], strict=True
    ):
        contrast = np.zeros(len(coded.models))
        contrast[coded.models.index(name)], contrast[reference] = 1, -1
        assert contrast @ fitted.strengths == pytest.approx(coefficient, abs=1e-8)
        assert np.sqrt(contrast @ fitted.covariance @ contrast) == pytest.approx(error, abs=1e-6)
    half = read_json("bt.json")["votes_t2i_quality_ties_half"]
    order = [coded.models.index(name) for name in half["names"]]
    assert np.sqrt(np.diag(fitted.bread))[order] == pytest.approx(half["se_centered"], abs=1e-6)
    assert (fitted.deviance, fitted.freedom) == pytest.approx((half["deviance"], half["df_resid"]))


def test_against_a_logistic_regression_with_clustered_errors():
    """statsmodels' binomial GLM on the design of differences is the same likelihood."""
    coded = encode(random_votes(3, n=900, ties=0))
    design = np.zeros((coded.n, 4))
    design[np.arange(coded.n), coded.first] = 1
    design[np.arange(coded.n), coded.second] = -1
    model = sm.GLM(coded.points, design[:, 1:], family=sm.families.Binomial())
    groups = np.column_stack([coded.prompt, coded.annotator])
    uncorrected = {"groups": groups, "use_correction": False, "df_correction": False}
    witness = model.fit(cov_type="cluster", cov_kwds=uncorrected)
    fitted = fit(coded, small_sample=False)
    assert fitted.strengths[1:] - fitted.strengths[0] == pytest.approx(witness.params, abs=1e-7)
    contrast = np.eye(4)[1:] - np.eye(4)[0]
    covariance = contrast @ fitted.covariance @ contrast.T
    assert np.sqrt(np.diag(covariance)) == pytest.approx(witness.bse, rel=1e-6)


def test_newton_that_does_not_converge_gives_no_number(monkeypatch):
    monkeypatch.setattr(bradley_terry, "MAX_STEPS", 2)
    with pytest.raises(EstimateError, match="not converged after 2 steps"):
        fit_strengths(matchups(["A", "B"], [("A", "B", 900, 1, 0)]).wins)
