"""The draw: seeded, in the set's order, each prompt alike, strata in proportion."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import StudyError
from evalkit.prompts import draw_prompts
from evalkit.prompts.drawing import shares
from evalkit.study_sections import PromptSource


def test_the_draw_is_seeded_and_keeps_the_order():
    prompts = pd.DataFrame({"prompt_id": [f"p{i:03d}" for i in range(100)]})
    first = draw_prompts(prompts, 10, "first", seed=1)
    drawn = draw_prompts(prompts, 10, "random", seed=1)
    assert first["prompt_id"].tolist() == [f"p{i:03d}" for i in range(10)]
    assert drawn["prompt_id"].is_monotonic_increasing
    assert drawn["prompt_id"].is_unique
    assert drawn.equals(draw_prompts(prompts, 10, "random", seed=1))
    assert not drawn.equals(draw_prompts(prompts, 10, "random", seed=2))
    assert len(draw_prompts(prompts, None, "first", seed=1)) == 100
    with pytest.raises(StudyError, match="n = 101, but the set has 100"):
        draw_prompts(prompts, 101, "first", seed=1)


def test_every_prompt_is_drawn_alike():
    prompts = pd.DataFrame({"prompt_id": list("abcdefghij")})
    counts = pd.concat(draw_prompts(prompts, 3, "random", seed) for seed in range(2000))
    shares = counts["prompt_id"].value_counts() / 2000  # expected .3, standard error .0102
    assert shares.between(0.3 - 5 * 0.0102, 0.3 + 5 * 0.0102).all()


def strata(sizes: dict[str, int]) -> pd.DataFrame:
    names = [name for name, size in sizes.items() for _ in range(size)]
    ids = [f"p{number:04d}" for number in range(len(names))]
    return pd.DataFrame({"prompt_id": ids, "category": names, "challenge": "c"})


def test_a_stratified_draw_is_proportional():
    # Quotas of 10 prompts from 50, 30 and 25 of 105: 4.762, 2.857, 2.381. Whole parts 4 + 2 + 2;
    # the two that are left go to the largest remainders, .857 (B) and .762 (A).
    prompts = strata({"A": 50, "B": 30, "C": 25})
    drawn = draw_prompts(prompts, 10, "stratified", seed=4)
    assert Counter(drawn["category"]) == {"A": 5, "B": 3, "C": 2}
    assert drawn["prompt_id"].is_monotonic_increasing
    assert drawn.equals(draw_prompts(prompts, 10, "stratified", seed=4))
    assert not drawn.equals(draw_prompts(prompts, 10, "stratified", seed=5))


def test_strata_can_be_challenges_or_both():
    prompts = strata({"A": 4, "B": 4}).assign(challenge=["x", "x", "y", "y"] * 2)
    by_challenge = draw_prompts(prompts, 4, "stratified", 0, "challenge")
    assert Counter(by_challenge["challenge"]) == {"x": 2, "y": 2}
    both = draw_prompts(prompts, 4, "stratified", 0, "both")
    cells = Counter(zip(both["category"], both["challenge"], strict=True))
    assert cells == {("A", "x"): 1, ("A", "y"): 1, ("B", "x"): 1, ("B", "y"): 1}


def test_each_prompt_of_a_stratum_and_each_equal_stratum_is_drawn_alike():
    # Three strata of two and n = 4: each gets 4/3, one of the three gets the fourth prompt; so each
    # of the six prompts is drawn with probability 2/3.
    prompts = strata({"A": 2, "B": 2, "C": 2})
    drawn = pd.concat(draw_prompts(prompts, 4, "stratified", seed) for seed in range(2000))
    error = (2 / 9 / 2000) ** 0.5
    shares_drawn = drawn["prompt_id"].value_counts() / 2000
    assert len(shares_drawn) == 6
    assert shares_drawn.between(2 / 3 - 5 * error, 2 / 3 + 5 * error).all()


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_shares_keep_the_quota(sizes, share, seed):
    total = sum(sizes)
    n = round(share * total)
    counts = shares(np.array(sizes), n, np.random.default_rng(seed))
    assert counts.sum() == n
    for size, count in zip(sizes, counts, strict=True):
        assert 0 <= count <= size
        assert n * size // total <= count <= -(-n * size // total)  # the quota, rounded


def test_a_stratified_draw_needs_strata(tmp_path):
    prompts = strata({"A": 2, "": 3})
    with pytest.raises(StudyError, match="3 of 5 prompts have no category .the first is p0002"):
        draw_prompts(prompts, 2, "stratified", 0)
    with pytest.raises(StudyError, match="n = 6, but the set has 5"):
        draw_prompts(prompts, 6, "stratified", 0)
    with pytest.raises(ValueError, match='draw = "random" has no strata'):
        PromptSource(source="p", draw="random", stratify="challenge")
