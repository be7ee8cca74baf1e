"""Bradley-Terry: published values, statsmodels, and everything that must not be fitted."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from evalkit.analysis import bradley_terry
from evalkit.analysis.bradley_terry import fit, fit_strengths, require_finite, win_matrix
from evalkit.analysis.coding import CodedVotes, encode
from evalkit.analysis.ratings import ratings
from evalkit.errors import EstimateError
from tests.reference import FOLDER, needs_reference, read_json


def matrix(names, table):
    wins = np.zeros((len(names), len(names)))
    for first, second, won, lost in table:
        i, j = names.index(first), names.index(second)
        wins[i, j] += won
        wins[j, i] += lost
    return wins


def comparisons(table, annotators=4):
    """One row per vote of (a, b, wins_a, wins_b, ties), prompts and annotators dealt in turn."""
    rows = []
    for model_a, model_b, wins_a, wins_b, ties in table:
        winners = ["model_a"] * wins_a + ["model_b"] * wins_b + ["tie"] * ties
        for i, winner in enumerate(winners):
            rows.append(
                {
                    "annotator_id": f"a{i % annotators}",
                    "prompt_id": f"p{i // annotators}",
                    "question_id": "quality",
                    "model_a": model_a,
                    "model_b": model_b,
                    "winner": winner,
                }
            )
    return pd.DataFrame(rows)


def test_published_citations():
    # Stigler 1994; coefficients against Biometrika in Turner & Firth, JSS 48(9), section 2.1.
    names = ["Biometrika", "Comm Statist", "JASA", "JRSS-B"]
    table = [
        ("Biometrika", "Comm Statist", 730, 33),
        ("Biometrika", "JASA", 498, 320),
        ("Biometrika", "JRSS-B", 221, 284),
        ("Comm Statist", "JASA", 68, 813),
        ("Comm Statist", "JRSS-B", 17, 276),
        ("JASA", "JRSS-B", 142, 325),
    ]
    strengths = fit_strengths(matrix(names, table))
    assert strengths - strengths[0] == pytest.approx([0, -2.9491, -0.4796, 0.2690], abs=5e-5)
    assert strengths.sum() == pytest.approx(0, abs=1e-10)


def test_a_chain_has_the_closed_form():
    # On a tree each difference is the log of the odds won on that edge.
    wins = matrix(["A", "B", "C", "D"], [("A", "B", 3, 1), ("B", "C", 5, 2), ("C", "D", 2, 2)])
    strengths = fit_strengths(wins)
    assert np.diff(strengths) == pytest.approx([-np.log(3), -np.log(2.5), 0], abs=1e-8)


@needs_reference
@pytest.mark.parametrize("name", ["citations", "chain_sparse", "cycle_balanced", "unequal_n"])
def test_reference_tables(name):
    expected = read_json("bt.json")[name]
    table = pd.read_csv(FOLDER / "reference" / f"bt_{name}.csv")
    wins = matrix(expected["names"], table.itertuples(index=False, name=None))
    strengths = fit_strengths(wins)
    assert strengths == pytest.approx(expected["coef_centered"], abs=1e-8)


@needs_reference
def test_the_two_way_sandwich_of_the_reference_votes():
    from evalkit import tables

    votes = tables.read(FOLDER / "reference" / "votes_t2i.csv", tables.IMPORTED_VOTES)
    expected = read_json("bt.json")["votes_t2i_quality"]
    coded = encode(votes[votes["question_id"] == "quality"])
    fitted = fit(coded, small_sample=False)
    reference = coded.models.index(expected["names"][0])
    sandwich = expected["bt_half_sandwich"]
    errors = sandwich["se"]["twoway"]
    for name, coefficient, error in zip(
        expected["names"][1:], sandwich["coef_ref0"][1:], errors, strict=True
    ):
        contrast = np.zeros(len(coded.models))
        contrast[coded.models.index(name)], contrast[reference] = 1, -1
        assert contrast @ fitted.strengths == pytest.approx(coefficient, abs=1e-8)
        assert contrast @ fitted.covariance @ contrast == pytest.approx(error**2, abs=1e-6)


def test_against_a_logistic_regression_with_clustered_errors():
    """statsmodels' binomial GLM on the design of differences is the same likelihood."""
    rng = np.random.default_rng(3)
    truth = {"w": 0.6, "x": 0.2, "y": -0.1, "z": -0.7}
    rows = []
    for i in range(900):
        a, b = sorted(rng.choice(list(truth), 2, replace=False))
        won = rng.random() < 1 / (1 + np.exp(truth[b] - truth[a]))
        rows.append(
            (f"a{i % 9}", f"p{rng.integers(30)}", "q", a, b, "model_a" if won else "model_b")
        )
    frame = pd.DataFrame(
        rows,
        columns=["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner"],
    )
    coded = encode(frame)
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


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([("A", "B", 5, 0, 0), ("B", "C", 4, 3, 0), ("A", "C", 6, 0, 0)], "A never lost"),
        ([("A", "B", 3, 2, 0), ("C", "D", 4, 1, 0)], "2 groups never compared"),
        ([("A", "B", 1, 0, 0)], "A never lost"),
    ],
)
def test_what_has_no_finite_rating_is_flagged_and_never_fitted(table, reason):
    frame = comparisons(table)
    coded = encode(frame)
    with pytest.raises(EstimateError, match=reason):
        require_finite(win_matrix(coded), coded.models)
    flagged = ratings(frame)
    assert flagged["rating"].isna().all()
    assert not flagged["converged"].any()
    assert flagged["method"].str.contains(reason).all()


def test_all_ties_rate_equal_and_say_that_nothing_varied():
    rated = ratings(comparisons([("A", "B", 0, 0, 9), ("B", "C", 0, 0, 9)]))
    assert rated["rating"].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert rated["ci_low"].isna().all()
    assert rated["method"].str.contains("no variation").all()


def test_one_annotator_gives_a_rating_without_an_interval():
    rated = ratings(comparisons([("A", "B", 6, 4, 0)], annotators=1))
    assert rated["rating"].tolist() == pytest.approx([np.log(1.5) / 2, -np.log(1.5) / 2])
    assert rated[["ci_low", "ci_high", "rank_low", "rank_high"]].isna().all(axis=None)
    assert rated["method"].str.contains("one annotator").all()


def test_a_model_judged_by_one_person_has_no_interval():
    many = comparisons([("x", "y", 30, 20, 0)], annotators=10)
    one = comparisons([("y", "z", 6, 4, 0)], annotators=1)
    rated = ratings(pd.concat([many, one])).set_index("model")
    assert rated.loc[["x", "y"], "ci_low"].notna().all()
    assert np.isnan(rated.loc["z", "ci_low"])
    assert "one annotator" in rated.loc["z", "method"]


def test_newton_that_does_not_converge_gives_no_number(monkeypatch):
    monkeypatch.setattr(bradley_terry, "MAX_STEPS", 2)
    with pytest.raises(EstimateError, match="not converged after 2 steps"):
        fit_strengths(matrix(["A", "B"], [("A", "B", 900, 1)]))


def test_no_votes_give_no_rows():
    assert ratings(comparisons([("A", "B", 0, 0, 1)]).head(0)).empty


def test_elo_and_ranks_follow_the_strengths():
    rng = np.random.default_rng(5)
    table = [("A", "B", 80, 20, 0), ("B", "C", 80, 20, 0), ("A", "C", 95, 5, 0)]
    frame = comparisons(table, annotators=20)
    for _, pair in frame.groupby(["model_a", "model_b"]):
        frame.loc[pair.index, "winner"] = rng.permutation(pair["winner"])
    rated = ratings(frame)
    assert rated["model"].tolist() == ["A", "B", "C"]
    assert rated["elo"].to_numpy() == pytest.approx(
        1000 + rated["rating"].to_numpy() * 173.717792761, abs=1e-6
    )
    assert rated[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1], [2, 2], [3, 3]]


def clustered_study(rng, truth, prompts=60, votes=4, annotators=16, shared=0.35):
    """Votes whose marginals are exactly Bradley-Terry and which share prompts and annotators.

    A vote is won where a normal value falls under the quantile of its probability; the value has
    variance 1, of which `shared` is the prompt's (per pair) and half as much the annotator's.
    """
    size = len(truth)
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    shape = (len(pairs), prompts, votes)
    pair, prompt, _ = (index.ravel() for index in np.indices(shape))
    annotator = np.argsort(rng.random((len(pairs), prompts, annotators)))[..., :votes].ravel()
    value = (
        np.sqrt(shared) * rng.standard_normal((len(pairs), prompts))[pair, prompt]
        + np.sqrt(shared / 2) * rng.standard_normal((len(pairs), annotators))[pair, annotator]
        + np.sqrt(1 - 1.5 * shared) * rng.standard_normal(len(pair))
    )
    first, second = np.array(pairs)[pair].T
    won = value < stats.norm.ppf(expit(truth[first] - truth[second]))
    names = tuple(f"m{i}" for i in range(size))
    return CodedVotes(
        names,
        first,
        second,
        np.where(won, 0, 1),
        prompt,
        annotator,
        np.zeros(len(first), dtype=int),
    )


def test_rating_intervals_cover_where_votes_share_prompts_and_annotators():
    rng = np.random.default_rng(20231128)
    truth = np.array([0.5, 0.1, -0.6])
    contrasts = np.eye(3) - 1 / 3
    covered, naive, studies = 0, 0, 400
    for _ in range(studies):
        votes = clustered_study(rng, truth)
        fitted = fit(votes)
        quantile = stats.t.ppf(0.975, min(votes.n_prompts, votes.n_annotators) - 1)
        for contrast in contrasts:
            miss = abs(contrast @ fitted.strengths - contrast @ truth)
            covered += miss <= quantile * np.sqrt(fitted.variance(contrast))
            naive += miss <= 1.96 * np.sqrt(contrast @ fitted.floor @ contrast)
    assert 0.93 <= covered / (3 * studies) <= 0.975
    assert naive / (3 * studies) < 0.85  # independent votes assumed: guards the simulation
