"""The paper's Elo: the reference in row order, orders one by one, and what the counts give."""

from collections import Counter
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import tables
from evalkit.analysis.coding import encode
from evalkit.analysis.elo import (
    MEAN_OF_QUESTIONS,
    _in_random_orders,
    _shuffled,
    elo,
    elo_in_order,
    mean_field,
)
from evalkit.analysis.matchups import count
from evalkit.analysis.ratings import ratings
from evalkit.errors import EstimateError
from evalkit.result_tables.estimates import _orders
from tests.paired_votes import ALL_TIES, DISCONNECTED, SEPARATED, comparisons, random_votes
from tests.reference import FOLDER, needs_reference, read_json


@needs_reference
@pytest.mark.parametrize("k", ["1.0", "4.0", "32.0"])
def test_the_reference_in_row_order(k):
    votes = pd.read_csv(FOLDER / "reference" / "elo_votes.csv")
    expected = read_json("elo.json")["scores"][k]
    names = sorted(expected)
    first, second = (
        votes[side].map(names.index).to_numpy() for side in ("model_left", "model_right")
    )
    points = votes["choice"].map({"left": 1.0, "right": 0.0, "tie": 0.5}).to_numpy()
    scores = elo_in_order(first, second, points, len(names), k=float(k))
    assert scores == pytest.approx([expected[name] for name in names], abs=1e-9)


def test_one_vote_by_hand():
    # Equals expect .5, so the winner of one vote has 1000 + K / 2; 32 K then: 1016 and 984.
    first, second, points = np.array([0]), np.array([1]), np.array([1.0])
    assert elo_in_order(first, second, points, 2).tolist() == [1000.5, 999.5]
    assert elo_in_order(first, second, points, 2, k=32, start=0).tolist() == [16, -16]


@pytest.mark.parametrize("n", [40, 700])  # 700: more than one block of steps
def test_all_orders_together_are_each_order_alone(n):
    coded = encode(random_votes(41, n=n))
    votes = coded.take(coded.is_decided)
    together = _in_random_orders(votes, 4.0, 1000, 5, np.random.default_rng(3))
    winner = np.where(votes.outcome == 0, votes.first, votes.second)
    loser = np.where(votes.outcome == 0, votes.second, votes.first)
    pair, rng = np.sort(winner * 4 + loser), np.random.default_rng(3)
    orders = [_shuffled(pair, 16, rng) for _ in range(5)]
    for row, order in enumerate(orders):
        assert (np.sort(order) == np.sort(pair)).all()
        alone = elo_in_order(order // 4, order % 4, np.ones(votes.n), 4, k=4)
        assert together[row] == pytest.approx(alone, abs=1e-9)
    assert together.std(axis=0).min() > 0


def test_every_order_is_as_likely():
    rng = np.random.default_rng(5)
    seen = Counter(tuple(_shuffled(np.array([0, 1, 2]), 3, rng).tolist()) for _ in range(6000))
    assert sorted(seen) == sorted(permutations(range(3)))
    # Each of six orders 1000 times: a chi-square on five degrees exceeds 20.5 once in a thousand.
    assert sum((count - 1000) ** 2 / 1000 for count in seen.values()) < 20.5


def test_the_table_of_one_question():
    frame = random_votes(42, n=1600, models=5)
    coded = encode(frame)
    rng = np.random.default_rng([9, *b"quality"])
    final = _in_random_orders(coded.take(coded.is_decided), 1, 1000, 1000, rng)
    found = elo(frame, seed=9)
    assert found["elo"].to_numpy() == pytest.approx(np.sort(final.mean(axis=0))[::-1])
    assert found["elo"].mean() == pytest.approx(1000)
    best = coded.models.index(found["model"].iloc[0])
    bounds = np.quantile(final[:, best], [0.025, 0.975])
    assert found[["elo_low", "elo_high"]].iloc[0].tolist() == pytest.approx(bounds)
    assert found["n"].sum() == 2 * coded.is_decided.sum()
    assert set(found["method"]) == {"Elo (K=1, paper)"}
    assert set(found["orders"]) == {1000}
    assert set(found["seed"]) == {9}
    pd.testing.assert_frame_equal(elo(frame, seed=9), found)
    assert (elo(frame, seed=10)["elo"] != found["elo"]).any()


def test_the_mean_field_is_near_the_mean_over_orders():
    found = elo(random_votes(43, n=1600, models=5), orders=1000)
    assert found["mean_field"].to_numpy() == pytest.approx(found["elo"].to_numpy(), abs=0.3)
    assert found["mean_field"].sum() == pytest.approx(5000)


def test_the_mean_field_of_one_pair_has_a_closed_form():
    # w of n won, R_1 = -R_2 = x: x' = K (w - n p(x)); at an even score nothing moves.
    assert mean_field(np.array([[0, 7], [7, 0]])).tolist() == [1000, 1000]
    # K so large that the flow ends where it rests: the odds won, on the Elo scale.
    ended = mean_field(np.array([[0, 300.0], [100, 0]]), k=100)
    assert ended[0] - ended[1] == pytest.approx(400 * np.log10(3), abs=1e-3)


def test_its_spread_is_under_that_of_bradley_terry():
    """400 votes on one pair: .68 of the spread that the odds say (K = 1 has not got there yet)."""
    frame = comparisons([("A", "B", 240, 160, 0)], annotators=20)
    found, rated = elo(frame, orders=200), ratings(frame)
    ratio = (found["elo"].iloc[0] - 1000) / (rated["elo"].iloc[0] - 1000)
    assert ratio == pytest.approx(0.68, abs=0.01)


def test_ties_are_not_counted():
    frame = random_votes(44, ties=0.4)
    decided = frame[frame["winner"].isin(["model_a", "model_b"])]
    pd.testing.assert_frame_equal(elo(frame, orders=50), elo(decided, orders=50))


def test_the_mean_of_the_questions():
    frames = {name: random_votes(seed).assign(question_id=name) for name, seed in
              (("quality", 45), ("alignment", 46))}  # fmt: skip
    found = elo(pd.concat(frames.values()), orders=200).set_index(["question_id", "model"])
    assert list(dict.fromkeys(found.index.get_level_values(0))) == [
        "alignment", "quality", MEAN_OF_QUESTIONS,
    ]  # fmt: skip
    mean = found.loc[MEAN_OF_QUESTIONS]
    quality, alignment = found.loc["quality"], found.loc["alignment"]
    for column in ("elo", "mean_field"):
        both = (quality[column] + alignment[column]) / 2
        assert mean[column].to_dict() == pytest.approx(both.to_dict())
    assert mean["n"].to_dict() == (quality["n"] + alignment["n"]).to_dict()
    said = "Elo (K=1, 200 of the paper's 1000 orders); mean of 2 questions"
    assert mean["method"].str.startswith(said).all()
    # Of two independent orders the mean has less spread than either.
    assert (mean["elo_high"] - mean["elo_low"]).mean() < 0.9 * (
        quality["elo_high"] - quality["elo_low"]
    ).mean()


def test_a_model_that_lacks_on_one_question_has_no_mean():
    three = random_votes(47, models=3).assign(question_id="alignment")
    found = elo(pd.concat([random_votes(48), three]), orders=20)
    mean = found[found["question_id"] == MEAN_OF_QUESTIONS].set_index("model")
    assert mean["elo"].notna().to_dict() == {"m0": True, "m1": True, "m2": True, "m3": False}
    assert mean.loc["m3", "method"].startswith("not estimated: no votes on one of the questions")
    assert mean.index[-1] == "m3"


@pytest.mark.parametrize(
    ("table", "reason"), [(SEPARATED, "A never lost"), (DISCONNECTED, "2 groups never compared")]
)
def test_a_number_where_no_rating_exists_says_so(table, reason):
    found = elo(comparisons(table), orders=20)
    assert found["elo"].notna().all()
    assert found["method"].str.contains(f"Elo .*no finite rating: .*{reason}").all()


def test_without_a_decided_vote_there_is_no_elo():
    found = elo(comparisons(ALL_TIES), orders=20)
    assert found[["elo", "elo_low", "elo_high", "mean_field"]].isna().all(axis=None)
    assert found["method"].str.startswith("not estimated: no decided vote").all()
    assert (found["n"] == 0).all()


def test_no_votes_give_no_rows():
    assert elo(comparisons(ALL_TIES).head(0)).columns.tolist() == tables.ELO.names[:-1]


@pytest.mark.parametrize("wrong", [{"k": 0}, {"orders": 0}, {"k": float("nan")}])
def test_a_k_or_a_number_of_orders_that_is_none_is_refused(wrong):
    with pytest.raises(EstimateError, match="allowed are over 0 and at least 1"):
        elo(random_votes(1), **wrong)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_swapping_a_and_b_changes_nothing(seed):
    frame = random_votes(seed, n=120)
    swapped = frame.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    pd.testing.assert_frame_equal(elo(swapped, orders=5), elo(frame, orders=5))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_table_does_not_matter_to_the_mean_field(seed):
    frame = random_votes(seed, n=120)
    one, two = (
        elo(f, orders=5).set_index("model") for f in (frame, frame.sample(frac=1, random_state=1))
    )
    assert two["mean_field"].to_dict() == pytest.approx(one["mean_field"].to_dict(), abs=1e-6)
    coded = encode(frame)
    expected = mean_field(count(coded.take(coded.is_decided)).wins)
    assert sorted(one["mean_field"]) == pytest.approx(sorted(expected), abs=1e-6)


def test_neither_the_order_of_rows_nor_another_question_moves_it():
    votes = random_votes(51, n=300)
    found = elo(votes, orders=30)
    pd.testing.assert_frame_equal(elo(votes.sample(frac=1, random_state=1), orders=30), found)
    both = elo(pd.concat([random_votes(52).assign(question_id="alignment"), votes]), orders=30)
    alone = both[both["question_id"] == "quality"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, found)


def test_fewer_orders_than_the_papers_are_not_called_the_papers():
    votes = random_votes(53, n=60)
    assert set(elo(votes, orders=50)["method"]) == {"Elo (K=1, 50 of the paper's 1000 orders)"}
    assert set(elo(votes)["method"]) == {"Elo (K=1, paper)"}
    assert set(elo(votes, k=32, orders=50)["method"]) == {"Elo (K=32)"}


def test_the_orders_go_by_the_main_votes_of_the_largest_question():
    # 10^8 steps: 1000 orders of 100,000 votes, 500 of 200,000.
    votes = pd.DataFrame({"question_id": ["q"] * 100_000 + ["r"] * 100_000, "kind": "main"})
    repeats = pd.DataFrame({"question_id": ["q"] * 50_000, "kind": "repeat"})
    assert _orders(pd.concat([votes, repeats])) == 1000
    assert _orders(votes.assign(question_id="q")) == 500
    assert _orders(repeats) == 1000
