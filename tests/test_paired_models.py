"""Bradley-Terry, Davidson and Rao-Kupper: references, statsmodels, and what must not be fitted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import logit
from statsmodels.miscmodels.ordinal_model import OrderedModel

from evalkit.analysis import paired_models
from evalkit.analysis.coding import FIRST_WON, SECOND_WON, encode
from evalkit.analysis.matchups import count
from evalkit.analysis.paired_models import MODELS, fit, fit_counts, score_matrix, with_clusters
from evalkit.analysis.sandwich import Meat, dense
from evalkit.errors import EstimateError
from tests.paired_votes import (
    DISCONNECTED,
    SEPARATED,
    TEAMS,
    comparisons,
    home_games,
    matchups,
    random_votes,
)
from tests.reference import FOLDER, needs_reference, read_json

TIE_MODELS = ("davidson", "rao-kupper")


# Reference values


@needs_reference
@pytest.mark.parametrize("name", ["springall", "votes_t2i_quality"])
@pytest.mark.parametrize("model", TIE_MODELS)
def test_reference_tables_with_ties(name, model):
    reference = read_json("bt.json")[name]
    expected = reference[model.replace("-", "_")]
    fitted = fit_counts(_counts_with_ties(name, reference["names"]), model)
    against_first = fitted.strengths - fitted.strengths[0]
    assert against_first == pytest.approx(expected["coef_ref0"], abs=1e-5)
    tie = expected["nu"] if model == "davidson" else expected["threshold"]
    assert fitted.tie_parameter == pytest.approx(tie, abs=1e-5)
    assert -fitted.log_likelihood == pytest.approx(expected["nll"], abs=1e-6)


@needs_reference
@pytest.mark.parametrize("name", ["springall", "votes_t2i_quality"])
def test_reference_standard_errors_with_ties(name):
    reference = read_json("bt.json")[name]
    fitted = fit_counts(_counts_with_ties(name, reference["names"]), "davidson")
    size, expected = len(reference["names"]), reference["davidson"]
    bread = fitted.bread[:size, :size]
    errors = np.sqrt(np.maximum(0, np.diag(bread) + bread[0, 0] - 2 * bread[0]))
    assert errors == pytest.approx(expected["se"], abs=1e-5)
    assert np.sqrt(fitted.bread[size, size]) == pytest.approx(expected["se_log_nu"], abs=1e-5)


@needs_reference
def test_springall_with_ties_half():
    expected = read_json("bt.json")["springall_ties_half"]
    fitted = fit_counts(_counts_with_ties("springall", expected["names"]))
    assert fitted.strengths == pytest.approx(expected["coef_centered"], abs=1e-8)
    assert np.sqrt(np.diag(fitted.bread)) == pytest.approx(expected["se_centered"], abs=1e-6)
    assert (fitted.deviance, fitted.freedom) == pytest.approx((expected["deviance"], 28))


@needs_reference
def test_the_contests_of_springall_as_collected_are_the_reference_table():
    collected = pd.read_csv(FOLDER / "votes" / "bt2_springall_contests.csv")
    reference = pd.read_csv(FOLDER / "reference" / "ties_springall.csv")
    assert (collected[["win", "loss", "tie"]].to_numpy() == reference.iloc[:, 2:].to_numpy()).all()


def test_home_advantage_is_a_position_effect():
    # Agresti 2002, table 10.11: abilities against Baltimore without a home effect; home .302 with.
    counts = matchups(TEAMS, home_games())
    plain, home = fit_counts(counts), fit_counts(counts, position=True)
    published = [0.0, 0.68, 1.11, 1.25, 1.29, 1.44, 1.58]
    assert sorted(plain.strengths - plain.strengths[0]) == pytest.approx(published, abs=5e-3)
    assert home.position_effect == pytest.approx(0.302, abs=5e-4)
    abilities = np.exp(home.strengths) / np.exp(home.strengths).sum()
    published = [0.044, 0.088, 0.137, 0.157, 0.164, 0.190, 0.220]
    assert sorted(abilities) == pytest.approx(published, abs=6e-4)


@needs_reference
def test_home_advantage_as_in_the_reference():
    games = pd.read_csv(FOLDER / "votes" / "bt2_baseball.csv").assign(tied=0, left=1)
    rows = list(games.itertuples(index=False, name=None))
    assert sorted(rows) == sorted(home_games())
    counts = matchups(TEAMS, rows)
    plain, home = fit_counts(counts), fit_counts(counts, position=True)
    expected = read_json("bt.json")
    assert plain.strengths == pytest.approx(expected["baseball"]["coef_centered"], abs=1e-8)
    assert plain.deviance == pytest.approx(expected["baseball"]["deviance"], abs=1e-8)
    assert plain.freedom == expected["baseball"]["df_resid"] == 36
    errors = np.sqrt(np.diag(plain.bread))
    assert errors == pytest.approx(expected["baseball"]["se_centered"], abs=1e-6)
    against_first = home.strengths - home.strengths[0]
    assert against_first == pytest.approx(expected["baseball_home"]["coef_ref0"], abs=1e-8)
    assert home.position_effect == pytest.approx(expected["baseball_home"]["home"], abs=1e-8)
    error = np.sqrt(home.bread[-1, -1])
    assert error == pytest.approx(expected["baseball_home"]["home_se"], abs=1e-6)


def _counts_with_ties(name, names):
    if name == "springall":
        rows = pd.read_csv(FOLDER / "reference" / "ties_springall.csv")
        return matchups(names, rows.itertuples(index=False, name=None))
    votes = pd.read_csv(FOLDER / "reference" / "votes_t2i.csv")
    counts = count(encode(votes[votes["question_id"] == "quality"]))
    order = np.array([names.index(model) for model in counts.models])
    return matchups(
        names,
        zip(
            np.array(names)[order[counts.first]],
            np.array(names)[order[counts.second]],
            counts.won,
            counts.lost,
            counts.tied,
            strict=True,
        ),
    )


# Closed forms and second implementations


def test_two_models_have_closed_forms():
    # Three shares, two parameters: both models fit them exactly.
    counts = matchups(["A", "B"], [("A", "B", 50, 20, 30)])
    davidson, rao_kupper = (fit_counts(counts, model) for model in TIE_MODELS)
    assert np.ptp(davidson.strengths) == pytest.approx(np.log(50 / 20))
    assert davidson.tie_parameter == pytest.approx(30 / np.sqrt(50 * 20))
    assert np.ptp(rao_kupper.strengths) == pytest.approx((logit(0.5) - logit(0.2)) / 2)
    assert rao_kupper.tie_parameter == pytest.approx(np.exp(-(logit(0.5) + logit(0.2)) / 2))
    for fitted in (davidson, rao_kupper):
        assert fitted.deviance == pytest.approx(0, abs=1e-9)
        assert fitted.freedom == 0


def test_davidson_is_a_log_linear_model():
    """Fienberg 1979: Poisson counts by pair, gap and tie; statsmodels fits them."""
    frame = random_votes(6, n=900, ties=0.3, position=0.25)
    counts = count(encode(frame), sides=True)
    fitted = fit_counts(counts, "davidson", position=True)
    rows, n_rows = [], len(counts.first)
    for row in range(n_rows):
        gap = counts.gaps[row, 1:]
        for seen, half, tie in (
            (counts.won[row], 0.5, 0),
            (counts.lost[row], -0.5, 0),
            (counts.tied[row], 0, 1),
        ):
            rows.append((seen, *(half * gap), tie, half * counts.left[row], *np.eye(n_rows)[row]))
    table = np.array(rows)
    witness = sm.GLM(table[:, 0], table[:, 1:], family=sm.families.Poisson()).fit(tol=1e-12)
    own = [*(fitted.strengths[1:] - fitted.strengths[0]), np.log(fitted.tie_parameter)]
    assert witness.params[:5] == pytest.approx([*own, fitted.position_effect], abs=1e-7)
    errors = np.sqrt([fitted.bread[4, 4], fitted.bread[5, 5]])
    assert witness.bse[3:5] == pytest.approx(errors, rel=1e-5)


def test_rao_kupper_is_an_ordered_logit():
    """Two free cut points are theta and an effect of standing first."""
    frame = random_votes(8, n=900, ties=0.3)
    coded = encode(frame.assign(left_model=frame[["model_a", "model_b"]].min(axis=1)))
    fitted = fit(coded, "rao-kupper", position=True)
    level = np.select([coded.outcome == FIRST_WON, coded.outcome == SECOND_WON], [2, 0], 1)
    design = np.zeros((coded.n, 4))
    design[np.arange(coded.n), coded.first] = 1
    design[np.arange(coded.n), coded.second] = -1
    model = OrderedModel(level, design[:, 1:], distr="logit")
    witness = model.fit(method="bfgs", disp=False, gtol=1e-8)
    low, high = model.transform_threshold_params(witness.params)[1:3]
    assert fitted.strengths[1:] - fitted.strengths[0] == pytest.approx(witness.params[:3], abs=1e-4)
    assert np.log(fitted.tie_parameter) == pytest.approx((high - low) / 2, abs=1e-4)
    assert fitted.position_effect == pytest.approx(-(high + low) / 2, abs=1e-4)
    assert fitted.log_likelihood == pytest.approx(witness.llf, abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_are_those_of_the_chances(model):
    terms, gaps, tie, step = MODELS[model].terms, np.array([-1.3, 0.0, 0.4]), 0.7, 1e-6
    at = terms(gaps, tie)

    def slope_by_gap(name):
        high, low = (getattr(terms(gaps + sign * step, tie), name) for sign in (1, -1))
        return (high - low) / (2 * step)

    def slope_by_tie(name):
        high, low = (getattr(terms(gaps, tie + sign * step), name) for sign in (1, -1))
        return (high - low) / (2 * step)

    assert slope_by_gap("log_chance") == pytest.approx(at.by_gap, abs=1e-7)
    assert slope_by_tie("log_chance") == pytest.approx(at.by_tie, abs=1e-7)
    assert slope_by_gap("by_gap") == pytest.approx(at.gap_gap, abs=1e-7)
    assert slope_by_tie("by_gap") == pytest.approx(at.gap_tie, abs=1e-7)
    assert slope_by_tie("by_tie") == pytest.approx(at.tie_tie, abs=1e-7)
    if model != "bradley-terry":
        assert np.exp(at.log_chance).sum(axis=0) == pytest.approx(1)


@pytest.mark.parametrize("position", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_the_sandwich_is_that_of_votes_summed_one_by_one(model, position):
    coded = encode(random_votes(11, n=300, position=0.3))
    fitted = fit(coded, model, position=position)
    scores = _scores_one_by_one(coded, fitted, position)
    assert scores.sum(axis=0) == pytest.approx(0, abs=1e-6)
    meat = 0
    for codes, sign in (
        (coded.prompt, 1),
        (coded.annotator, 1),
        (coded.prompt * 1000 + coded.annotator, -1),
    ):
        groups = np.unique(codes)
        sums = np.array([scores[codes == group].sum(axis=0) for group in groups])
        part = sums.T @ sums * len(groups) / (len(groups) - 1)
        meat = meat + sign * part
        if sign < 0:
            assert fitted.floor == pytest.approx(fitted.bread @ part @ fitted.bread, abs=1e-6)
    assert fitted.covariance == pytest.approx(fitted.bread @ meat @ fitted.bread, abs=1e-6)


def _scores_one_by_one(coded, fitted, position):
    """Numerical derivatives of each vote's log-likelihood, from the chances alone."""
    has_tie = fitted.model != "bradley-terry"
    size, step = len(coded.models), 1e-5

    def each(parameters):
        values = []
        for i in range(coded.n):
            gap = parameters[coded.first[i]] - parameters[coded.second[i]]
            gap += parameters[-1] * coded.left[i] if position else 0
            tie = parameters[size] if has_tie else np.nan
            chances = MODELS[fitted.model].terms(np.array([gap]), tie).log_chance
            values.append(chances[min(coded.outcome[i], 2), 0])
        return np.array(values)

    columns = []
    for move in np.eye(len(fitted.parameters)) * step:
        columns.append((each(fitted.parameters + move) - each(fitted.parameters - move)) / 2 / step)
    return np.column_stack(columns)


def test_a_position_term_takes_away_what_the_side_did():
    frame = random_votes(12, n=6000, ties=0, position=0.8)
    frame = frame[(frame["left_model"] == "m0") | (frame["model_a"] != "m0")]  # m0 lies left more
    frame = frame[(frame["left_model"] == "m0") | (frame["model_b"] != "m0")]
    coded = encode(frame)
    truth = np.linspace(0.6, -0.6, 4)
    assert fit(coded).strengths[0] > truth[0] + 0.4  # it gets the side's votes
    fitted = fit(coded, position=True)
    assert fitted.strengths == pytest.approx(truth, abs=0.15)
    assert abs(fitted.position_effect - 0.8) < 3 * fitted.position_se < 0.5


def test_turning_all_sides_turns_the_position_effect():
    frame = random_votes(13, position=0.4)
    other = frame["model_a"].where(frame["left_model"] != frame["model_a"], frame["model_b"])
    one, two = (
        fit(encode(f), "davidson", position=True) for f in (frame, frame.assign(left_model=other))
    )
    assert two.position_effect == pytest.approx(-one.position_effect)
    assert two.strengths == pytest.approx(one.strengths)
    assert two.position_se == pytest.approx(one.position_se)


# A stated prior


def test_a_prior_makes_an_unbeaten_model_finite_and_is_named():
    coded = encode(comparisons(SEPARATED))
    fitted = fit(coded, prior=1.5)
    expected = 1 / (1 + np.exp(fitted.strengths[None, :] - fitted.strengths[:, None]))
    wins = count(coded).wins
    slope = (wins - (wins + wins.T) * expected).sum(axis=1)
    assert slope == pytest.approx(fitted.strengths / 1.5**2, abs=1e-8)  # likelihood against prior
    assert fitted.strengths.sum() == pytest.approx(0, abs=1e-9)
    assert fitted.models[fitted.strengths.argmax()] == "A"
    assert "normal prior with sd 1.5 on the log-odds" in fitted.method
    assert fitted.prior == 1.5
    # The unanimous votes have next to no residuals: the interval is never under the posterior's.
    contrast = np.array([1, -1, 0.0])
    assert fitted.variance(contrast) >= contrast @ fitted.bread @ contrast > 0.5


@pytest.mark.parametrize("model", MODELS)
def test_a_wide_prior_is_none(model):
    coded = encode(random_votes(14))
    plain, wide = fit(coded, model), fit(coded, model, prior=1e4)
    assert wide.strengths == pytest.approx(plain.strengths, abs=1e-6)
    assert wide.covariance[:4, :4] == pytest.approx(plain.covariance[:4, :4], abs=1e-6)


@pytest.mark.parametrize("prior", [0, -1.0, float("nan"), float("inf")])
def test_a_prior_that_is_no_standard_deviation_is_refused(prior):
    with pytest.raises(EstimateError, match="prior: found .*standard deviation over 0"):
        fit(encode(random_votes(1)), prior=prior)


def test_a_prior_compares_nothing_that_votes_do_not():
    with pytest.raises(EstimateError, match="2 groups never compared"):
        fit(encode(comparisons(DISCONNECTED)), prior=1.0)


# Refusals, and sums of votes


def test_an_unknown_model_is_refused():
    with pytest.raises(EstimateError, match="model: found elo; allowed are bradley-terry"):
        fit(encode(random_votes(1)), "elo")


def test_newton_that_does_not_converge_gives_no_number(monkeypatch):
    monkeypatch.setattr(paired_models, "MAX_STEPS", 2)
    with pytest.raises(EstimateError, match="not converged after 2 steps"):
        fit_counts(matchups(["A", "B"], [("A", "B", 900, 1, 0)]))


def test_codes_are_numbered_without_gaps():
    for codes in (np.array([5, 0, 5, 9]), np.array([5, 0, 5, 9]) * 10**9, np.array([1, 0, 1, 2])):
        numbers, found = dense(codes)
        assert numbers.tolist() == [1, 0, 1, 2]
        assert found == 3
    assert dense(np.array([], dtype=int))[1] == 0


@pytest.mark.parametrize("model", MODELS)
def test_the_meat_of_summed_votes_is_that_of_the_votes(model):
    """What is too large for memory is summed by cluster and code first: the same covariance."""
    coded = encode(random_votes(19, position=0.2))
    voted = count(coded, sides=True)
    fitted = fit_counts(voted, model, position=True)
    matrix = score_matrix(fitted, voted)
    rows = {key: i for i, key in enumerate(zip(voted.first, voted.second, voted.left,
                                               strict=True))}  # fmt: skip
    where = [rows[key] for key in zip(coded.first, coded.second, coded.left, strict=True)]
    parts, counts = [], []
    for codes in (coded.prompt, coded.annotator, coded.prompt * 1000 + coded.annotator):
        clusters, cluster = np.unique(codes, return_inverse=True)
        summed = np.zeros((len(clusters), len(rows), 4))
        np.add.at(summed, (cluster, where, coded.outcome), 1)
        flat = summed.reshape(len(clusters), -1)
        scores = matrix.reshape(-1, matrix.shape[-1])
        parts.append(scores.T @ (flat.T @ flat) @ scores)
        counts.append(len(clusters))
    summed_up = with_clusters(fitted, Meat(*parts, *counts))
    one_by_one = fit(coded, model, position=True)
    assert summed_up.covariance == pytest.approx(one_by_one.covariance, abs=1e-10)
    assert summed_up.floor == pytest.approx(one_by_one.floor, abs=1e-10)
    assert summed_up.n_prompts == one_by_one.n_prompts == 25


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32])
def test_codes_may_be_small(kind):
    """Sixteen models and a byte for each code: no product of codes may overflow."""
    frame = random_votes(23, n=3000, models=16)
    coded = encode(frame)
    names = ("first", "second", "prompt", "annotator")
    small = replace(coded, **{name: getattr(coded, name).astype(kind) for name in names})
    one, two = fit(coded, "davidson", position=True), fit(small, "davidson", position=True)
    assert two.parameters == pytest.approx(one.parameters, abs=1e-12)
    assert two.covariance == pytest.approx(one.covariance, abs=1e-12)
