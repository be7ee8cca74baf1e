"""Outlier distance: by arithmetic, on real votes with known outliers, by simulation."""

from math import log

import numpy as np
import pandas as pd
import pytest

from evalkit.analysis.annotators import annotator_table_of, flags
from evalkit.analysis.outliers import FAR, outlier_distances
from tests.reference import FOLDER, needs_reference


def main_votes(*rows):
    return pd.DataFrame(rows, columns=["annotator_id", "question_id", "pair_id", "chosen"])


def study(seed, *, people=20, prompts=150, careless=(), reverse=()):
    """Four votes by different people on each pair; some toss coins, some choose the other side."""
    rng = np.random.default_rng(seed)
    liking = rng.normal(0.5, 1.2, prompts)
    who = np.argsort(rng.random((prompts, people)), axis=1)[:, :4].ravel()
    prompt = np.repeat(np.arange(prompts), 4)
    logit = liking[prompt] * np.where(np.isin(who, careless), 0, 1)
    logit = np.where(np.isin(who, reverse), -logit, logit)
    draw = rng.random(len(who))
    tie = rng.random(len(who)) < 0.15
    chosen = np.where(draw < 1 / (1 + np.exp(-logit)), "a", "b")
    return pd.DataFrame(
        {
            "annotator_id": [f"p{number:02d}" for number in who],
            "question_id": "q",
            "pair_id": prompt,
            "chosen": np.where(tie, "tie", chosen),
        }
    )


def test_a_likelihood_by_hand():
    """Twenty pairs on which six people vote: five always a, ann b; then everything is known."""
    rows = [(f"usual{i}", "q", pair, "a") for i in range(5) for pair in range(20)]
    rows += [("ann", "q", pair, "b") for pair in range(20)]
    # One of the five takes a tie once, so that not all are alike.
    rows[0] = ("usual0", "q", 0, "tie")
    rows[21] = ("usual1", "q", 1, "tie")
    rows[22] = ("usual1", "q", 2, "tie")
    found = outlier_distances(main_votes(*rows))
    assert found["outlier_n"].tolist() == [20] * 6

    def chance(alike, votes_alike_kind, is_side):
        """Others' votes on the pair (5), and one spread as 100 others choose, plus one of three."""
        usual = (votes_alike_kind + 1) / 103 / (2 if is_side else 1)
        return (alike + usual) / 6

    # Others of ann: 97 for a side, 3 ties. None of the five others chose b.
    ann = log(chance(0, 97, True))
    # usual2 to usual4: others are 97 for a side (20 of them ann's b), 3 ties.
    alike = np.array([3, 3, 3] + [4] * 17)  # a, beside ann and, on three pairs, a tie
    usual = np.mean([log(chance(n, 97, True)) for n in alike])
    alike = np.array([4] * 20)
    alike[[1, 2]] = 3
    zero = [log(chance(0, 2, False))] + [log(chance(n, 98, True)) for n in alike[1:]]
    alike = np.array([3] + [4] * 19)
    one = [log(chance(n, 99, True)) for n in np.delete(alike, [1, 2])]
    one += [log(chance(0, 1, False))] * 2
    mean = pd.Series([ann, np.mean(zero), np.mean(one), usual, usual, usual])
    low, high = mean.quantile(0.25), mean.quantile(0.75)
    expected = ((low - mean) / (high - low)).clip(lower=0)
    assert found["outlier_distance"].tolist() == pytest.approx(expected.tolist())
    assert found["outlier_distance"].idxmax() == "ann"


@needs_reference
def test_the_two_known_outliers_of_pwcmp():
    """mantiuk/pwcmp, 18 observers. Its likelihood (Thurstone scales of the others, per scene),
    taken per vote, has M02 at 4.3 and bab at 4.8 quartile ranges, nobody else over 0.9."""
    votes = pd.read_csv(FOLDER / "votes" / "pwcmp_tmo.csv")
    comparisons = pd.DataFrame(
        {
            "annotator_id": votes["observer"],
            "prompt_id": votes["scene"],
            "question_id": votes["criterion"],
            "model_a": votes["condition_A"],
            "model_b": votes["condition_B"],
            "winner": votes["is_A_selected"].map({1: "model_a", 0: "model_b"}),
        }
    )
    table = annotator_table_of(comparisons).set_index("annotator_id")
    assert table["outlier_n"].sum() == 1213
    assert set(table.index[table["outlier_distance"] > FAR]) == {"M02", "bab"}
    held = dict(zip(table.index, flags(table.reset_index()), strict=True))
    assert {who for who in held if "outlier" in held[who]} == {"M02", "bab"}


def test_who_chooses_against_the_others_is_found():
    """40 studies of 20 people with 100 votes each, three others on each pair: power and alarms.

    Coins are seldom told from taste so: docs/statistics.md says how often.
    """
    found = {"reverse": 0, "careless": 0, "usual": 0}
    for seed in range(40):
        votes = study(seed, prompts=500, careless=(0,), reverse=(1,))
        far = outlier_distances(votes)["outlier_distance"] > FAR
        found["careless"] += far["p00"]
        found["reverse"] += far["p01"]
        found["usual"] += far.drop(["p00", "p01"]).sum()
    assert 0.65 <= found["reverse"] / 40 <= 0.95
    assert found["careless"] / 40 < 0.4
    assert found["usual"] / (40 * 18) < 0.02


def test_a_crowd_of_one_kind_raises_few_alarms():
    """0.35% of a normal's draws lie so far below; quartiles of 20 people make it 1% to 3%."""
    far = [
        (outlier_distances(study(seed, prompts=300))["outlier_distance"] > FAR).mean()
        for seed in range(60)
    ]
    assert 0.003 < np.mean(far) < 0.035


def test_names_and_sides_do_not_count():
    votes = study(3, careless=(2,))
    before = outlier_distances(votes)
    swap = votes.assign(chosen=votes["chosen"].replace({"a": "b", "b": "a"}))
    pd.testing.assert_frame_equal(outlier_distances(swap), before)
    shuffled = votes.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(outlier_distances(shuffled), before)


def test_too_few_votes_or_people_have_no_distance():
    votes = study(1, people=4, prompts=60)
    assert outlier_distances(votes)["outlier_distance"].isna().all()  # four people
    short = outlier_distances(study(1, people=12, prompts=30))  # about ten votes each
    assert short["outlier_distance"].isna().all()
    assert short["outlier_n"].between(1, 19).all()
    alone = main_votes(("ann", "q", 1, "a"), ("bob", "q", 2, "a"))
    assert outlier_distances(alone)["outlier_n"].tolist() == [0, 0]
    alike = main_votes(*[(f"a{i}", "q", pair, "a") for i in range(6) for pair in range(25)])
    assert outlier_distances(alike)["outlier_distance"].isna().all()
