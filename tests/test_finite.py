"""What has no finite estimate is refused by every model, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.coding import encode
from evalkit.analysis.finite import is_finite, require_chain
from evalkit.analysis.paired_models import MODELS, fit, fit_counts
from evalkit.errors import EstimateError
from tests.paired_votes import (
    ALL_TIES,
    DISCONNECTED,
    ONE_VOTE,
    SEPARATED,
    comparisons,
    matchups,
    random_votes,
)

TIE_MODELS = ("davidson", "rao-kupper")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (SEPARATED, "A never lost"),
        (DISCONNECTED, "2 groups never compared"),
        (ONE_VOTE, "A never lost"),
        ([("A", "B", 0, 4, 0), ("B", "C", 3, 1, 0)], "never lost"),
        ([("A", "B", 2, 2, 0), ("C", "D", 2, 2, 0), ("A", "C", 3, 0, 0)], "A, B never lost"),
    ],
)
def test_separated_and_disconnected_votes_are_refused(model, table, reason):
    with pytest.raises(EstimateError, match=reason):
        fit(encode(comparisons(table)), model)


@pytest.mark.parametrize("model", MODELS)
def test_no_votes_are_refused(model):
    with pytest.raises(EstimateError, match="no votes"):
        fit(encode(comparisons(ONE_VOTE).head(0)), model)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_without_votes_is_refused(model):
    coded = encode(comparisons([("A", "B", 5, 4, 2), ("B", "Z", 1, 1, 1)]))
    without = coded.take((coded.first == 0) & (coded.second == 1))
    with pytest.raises(EstimateError, match="2 groups never compared"):
        fit(without, model)


@pytest.mark.parametrize("model", TIE_MODELS)
@pytest.mark.parametrize("prior", [None, 1.0])
def test_all_ties_have_no_tie_parameter(model, prior):
    with pytest.raises(EstimateError, match="every vote is a tie"):
        fit(encode(comparisons(ALL_TIES)), model, prior=prior)


def test_all_ties_counted_half_are_equal_without_variation():
    fitted = fit(encode(comparisons(ALL_TIES)))
    assert fitted.strengths.tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert fitted.variance(np.array([1, -1, 0])) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("model", TIE_MODELS)
def test_wins_and_ties_without_a_loss_are_refused_though_half_wins_are_not(model):
    """5:0 with 3 ties: the more a tie is worth and the further apart the models, the likelier."""
    coded = encode(comparisons([("A", "B", 5, 0, 3)]))
    assert np.isfinite(fit(coded).strengths).all()
    with pytest.raises(EstimateError, match="no vote goes against the order A, B"):
        fit(coded, model)
    assert np.isfinite(fit(coded, model, prior=1.0).strengths).all()


@pytest.mark.parametrize("model", TIE_MODELS)
def test_without_a_tie_it_is_bradley_terry_and_says_so(model):
    coded = encode(random_votes(15, ties=0))
    plain, fitted = fit(coded), fit(coded, model)
    assert fitted.strengths == pytest.approx(plain.strengths)
    assert fitted.covariance == pytest.approx(plain.covariance)
    assert fitted.tie_parameter == {"davidson": 0.0, "rao-kupper": 1.0}[model]
    assert "without a tie it is Bradley-Terry" in fitted.method


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("column", ["annotator_id", "prompt_id"])
def test_one_annotator_or_one_prompt_has_no_covariance(model, column):
    fitted = fit(encode(random_votes(16).assign(**{column: "one"})), model)
    assert np.isfinite(fitted.strengths).all()
    assert np.isnan(fitted.covariance).all()
    assert np.isnan(fitted.floor).all()
    assert np.isnan(fitted.variance(np.array([1, -1, 0, 0])))


@pytest.mark.parametrize("model", MODELS)
def test_no_position_effect_without_sides(model):
    frame = random_votes(17)
    frame.loc[3, "left_model"] = None
    with pytest.raises(EstimateError, match="the side of some votes is unknown"):
        fit(encode(frame), model, position=True)
    same = frame[frame["model_a"].isin(["m0", "m1"]) & frame["model_b"].isin(["m0", "m1"])]
    with pytest.raises(EstimateError, match="cannot be told from the models' strengths"):
        fit(encode(same.assign(left_model="m0")), model, position=True)


@pytest.mark.parametrize("model", MODELS)
def test_a_side_that_always_wins_is_refused(model):
    frame = random_votes(18, ties=0)
    winner = np.where(frame["left_model"] == frame["model_a"], "model_a", "model_b")
    assert np.isfinite(fit(encode(frame.assign(winner=winner)), model).strengths).all()
    for prior in (None, 1.0):
        with pytest.raises(EstimateError, match="no vote goes against the left image"):
            fit(encode(frame.assign(winner=winner)), model, position=True, prior=prior)


_SMALL = st.lists(st.integers(0, 3), min_size=9, max_size=9)


@pytest.mark.parametrize("model", MODELS)
@given(counts=_SMALL)
@settings(max_examples=60, deadline=None)
def test_what_is_refused_runs_away_and_what_is_fitted_does_not(model, counts):
    """Under an ever wider prior, estimates settle where they exist and grow where they do not."""
    pairs = (("A", "B"), ("A", "C"), ("B", "C"))
    table = [(*pair, *counts[3 * i : 3 * i + 3]) for i, pair in enumerate(pairs)]
    voted = matchups(list("ABC"), [row for row in table if sum(row[2:])]) if sum(counts) else None
    if voted is None:
        return
    try:
        plain = fit_counts(voted, model)
    except EstimateError as error:
        if "never compared" in str(error) or "every vote is a tie" in str(error):
            return
        narrow, wide = (fit_counts(voted, model, prior=sd) for sd in (1e1, 1e2))
        assert np.ptp(wide.strengths) > np.ptp(narrow.strengths) + 1
    else:
        wide = fit_counts(voted, model, prior=1e4)
        assert wide.strengths == pytest.approx(plain.strengths, abs=1e-4)


@given(wins=st.lists(st.integers(0, 1), min_size=16, max_size=16))
@settings(max_examples=80, deadline=None)
def test_many_tables_are_judged_as_one_by_one(wins):
    table = np.array(wins).reshape(4, 4) * (1 - np.eye(4))
    try:
        require_chain(table, tuple("ABCD"))
    except EstimateError:
        assert not is_finite(table[None])[0]
    else:
        assert is_finite(table[None])[0]
