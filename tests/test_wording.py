"""Results in words: who was preferred, how surely, and what could not be estimated."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from evalkit.report.firmness import firmness
from evalkit.report.sections.win_rates import win_rate_sheet
from evalkit.wording import (
    analysis_lines,
    anytime_headline,
    headline,
    rating_lines,
    win_rate_sentence,
)


def win_rate_row(**changes: object) -> dict[str, object]:
    row = {
        "question_id": "quality", "model_a": "x", "model_b": "y", "win_rate_a": 0.61,
        "ci_low": 0.54, "ci_high": 0.67, "p_holm": 0.01, "wins_a": 55, "wins_b": 34, "ties": 7,
        "both_bad": 0, "n": 96, "n_prompts": 24, "n_annotators": 12,
        "method": "no interval: one prompt; ties count half",
    }  # fmt: skip
    return row | changes


COUNTED = "55 won, 34 lost, 7 ties counted half; 24 prompts, 12 annotators"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            f"On quality, annotators preferred x to y: win rate 61% (54% to 67%; {COUNTED}).",
        ),
        (
            {"win_rate_a": 0.39, "ci_low": 0.33, "ci_high": 0.46, "wins_a": 34, "wins_b": 55},
            f"On quality, annotators preferred y to x: win rate 61% (54% to 67%; {COUNTED}).",
        ),
        (
            {"win_rate_a": 0.52, "ci_low": 0.45, "ci_high": 0.59},
            "On quality, no preference could be shown between x and y: win rate of x 52% (45% to "
            f"59%; {COUNTED}).",
        ),
        (
            {"ci_low": 0.5004, "p_holm": 0.08},
            f"On quality, annotators preferred x to y: win rate 61% (50.04% to 67%; {COUNTED}); "
            "over all pairs this may be chance (Holm p = 0.08).",
        ),
        (
            {"ci_low": np.nan, "ci_high": np.nan},
            f"On quality, x has a win rate of 61% against y ({COUNTED}); how sure that is was not "
            "estimated (no interval: one prompt).",
        ),
        (
            {"ties": 1, "both_bad": 6, "n_prompts": 1, "n_annotators": 1},
            "On quality, annotators preferred x to y: win rate 61% (54% to 67%; 55 won, 34 lost, "
            "1 tie and 6 both bad counted half; 1 prompt, 1 annotator).",
        ),
        (
            {"ties": 0},
            "On quality, annotators preferred x to y: win rate 61% (54% to 67%; 55 won, 34 lost; "
            "24 prompts, 12 annotators).",
        ),
        (
            {"win_rate_a": np.nan, "ci_low": np.nan, "ci_high": np.nan},
            "On quality, x against y was not estimated (no interval: one prompt).",
        ),
    ],
)  # fmt: skip
def test_a_result_in_words(changes: dict[str, object], sentence: str) -> None:
    assert win_rate_sentence(win_rate_row(**changes)) == sentence


@pytest.mark.parametrize(
    ("changes", "firm"),
    [
        ({}, "firm"),
        ({"p_holm": 0.06}, "single"),
        ({"ci_low": 0.3, "ci_high": 0.49, "p_holm": 0.04}, "firm"),
        ({"ci_low": 0.49}, "open"),
        ({"ci_low": np.nan, "ci_high": np.nan, "p_holm": np.nan}, "open"),
    ],
)
def test_a_preference_is_firm_only_after_holm(changes: dict[str, object], firm: str) -> None:
    assert firmness(win_rate_row(**changes)) == firm


def test_a_reason_cannot_bring_markup_into_a_cell() -> None:
    row = win_rate_row(
        win_rate_a=np.nan, ci_low=np.nan, ci_high=np.nan, p_value=np.nan, p_holm=np.nan,
        wins_a=0, wins_b=0, ties=0, both_bad=0, method="<img src=x>; rule",
    )  # fmt: skip
    results = SimpleNamespace(win_rates=pd.DataFrame([row]), pairs_are_known=False, stamp="")
    sheet = win_rate_sheet(results)
    assert "not estimated (&lt;img src=x&gt;)" in str(sheet.rows[0][3])


def rating(model, elo, low, high, rank_low, rank_high, **changes):
    row = {
        "question_id": "quality", "model": model, "rating": (elo - 1000) / 173.7, "elo": elo,
        "elo_low": low, "elo_high": high, "rank_low": rank_low, "rank_high": rank_high,
        "method": "Bradley-Terry",
    }  # fmt: skip
    return row | changes


def answer(ratings=(), **changes):
    rows = [win_rate_row(**changes)]
    if len(ratings) > 2:
        rows.append(win_rate_row(model_a="x", model_b="z"))
    return headline(pd.DataFrame(rows), pd.DataFrame(ratings), "96 votes")


SHARE = "61% (54% to 67%; 7 ties counted half)"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, f"Annotators preferred x to y on quality, with a win rate of {SHARE}."),
        (
            {"vote_source": "SIMULATED VOTES", "p_holm": 0.08},
            f"Simulated annotators preferred x to y on quality, with a win rate of {SHARE}; over "
            "all pairs this may be chance (Holm p = 0.08).",
        ),
        (
            {"win_rate_a": 0.39, "ci_low": 0.33, "ci_high": 0.46},
            f"Annotators preferred y to x on quality, with a win rate of {SHARE}.",
        ),
        (
            {"win_rate_a": 0.48, "ci_low": 0.41, "ci_high": 0.55},
            "On quality, no preference could be shown between y and x: win rate of y 52% (45% to "
            "59%; 7 ties counted half).",
        ),
        (
            {"ci_low": np.nan, "ci_high": np.nan},
            "x has a win rate of 61% against y on quality (7 ties counted half), and how sure that "
            "is was not estimated (no interval: one prompt).",
        ),
        (
            {"both_bad": 2, "ties_rule": "both_bad_apart"},
            "Annotators preferred x to y on quality, with a win rate of 61% (54% to 67%; 7 ties "
            "counted half, 2 both bad left out).",
        ),
        (
            {"ties_rule": "drop"},
            "Annotators preferred x to y on quality, with a win rate of 61% (54% to 67%; 7 ties "
            "left out).",
        ),
        (
            {"ties": 0},
            "Annotators preferred x to y on quality, with a win rate of 61% (54% to 67%).",
        ),
        (
            {"win_rate_a": np.nan, "ci_low": np.nan, "ci_high": np.nan},
            "x against y was not estimated on quality (no interval: one prompt).",
        ),
    ],
)
def test_the_answer_on_one_pair(changes, sentence):
    assert answer(**changes) == (sentence, "This rests on 96 votes.")


def rated(*tied, names="xyz"):
    return [
        rating(name, 1100 - 50 * place, 0, 0, 1, 3, tied_for_first=first)
        for place, (name, first) in enumerate(zip(names, tied, strict=True))
    ]


@pytest.mark.parametrize(
    ("tied", "sentence"),
    [
        (
            (True, False, False),
            "By the ratings, which use the votes of all pairs, x alone is first: every other model "
            "was shown to be rated below another",
        ),
        (
            (True, True, False),
            "By the ratings, which use the votes of all pairs, x and y are tied for first: none of "
            "them was shown to be rated below another",
        ),
        (
            (True, True, True),
            "By the ratings, which use the votes of all pairs, all models are tied for first: none "
            "was shown to be rated below another",
        ),
        ((pd.NA, pd.NA, pd.NA), "How sure the order of the ratings is was not estimated"),
    ],
)
def test_the_answer_on_many_models_is_about_the_best_two(tied, sentence):
    first, second = answer(rated(*tied))
    said = f"annotators preferred x to y on quality, with a win rate of {SHARE}."
    assert first == f"x has the highest rating, y the next: {said}"
    assert second == f"{sentence}; 96 votes."


def test_the_best_rated_need_not_win_nor_meet_the_next():
    lost, _ = answer(rated(True, True, True), win_rate_a=0.45, ci_low=0.38, ci_high=0.52)
    assert lost.endswith(
        "the votes on this pair show no preference on quality; win rate of x 45% (38% to 52%; 7 "
        "ties counted half)."
    )
    apart, _ = answer(rated(True, True, True, names="yzx"))
    assert apart.endswith("y and z were not compared with each other on quality.")


def test_without_ratings_no_model_is_called_the_best():
    ratings = rated(pd.NA, pd.NA, pd.NA)
    ratings[2] |= {"rating": np.nan, "method": "no finite rating: z never won; Bradley-Terry"}
    assert answer(ratings) == (
        "On quality, no model can be called the best: ratings were not estimated (no finite "
        "rating: z never won).",
        "The pairs below say what can be said; this rests on 96 votes.",
    )


def test_before_the_end_only_decided_pairs_are_counted():
    anytime = pd.DataFrame({"question_id": "quality", "decision": ["decided", "go on", "go on"]})
    assert anytime_headline(anytime, "96 votes")[0] == (
        "On quality, 1 of 3 pairs is decided so far, by intervals that hold at every look."
    )


def test_ratings_stand_in_a_table_with_ranks_and_intervals():
    nan = np.nan
    rows = [
        rating("sdxl", 1043.2, 990.1, 1096.4, 1, 2),
        rating("lcm", 1001.0, nan, nan, nan, nan),
        rating("if", nan, nan, nan, nan, nan, method="no finite rating: if never lost; half"),
    ]
    assert rating_lines(pd.DataFrame(rows)) == [
        "Ratings on quality (Elo scale; rank and 95% interval):",
        "    1-2  sdxl  1043 (990 to 1096)",
        "      ?  lcm   1001 (unknown)",
        "  if    not estimated (no finite rating: if never lost)",
    ]
    sure = pd.DataFrame([rating("sdxl", 1043.2, 990.1, 1096.4, 1, 1)])
    assert rating_lines(sure)[1] == "      1  sdxl  1043 (990 to 1096)"


def test_what_does_not_count_or_is_missing_is_said():
    results = {
        "win_rates": pd.DataFrame([win_rate_row()]),
        "ratings": pd.DataFrame([rating("x", 1000, 990, 1010, 1, 1)]),
    }
    summary = {
        "votes_excluded": 1200, "votes_main": 5000, "exclusion_rule": "attention_below = 0.75",
        "rows_left_out": {"no label (has_label is false)": 1},
        "not_computed": {"elo": "needs single votes", "agreement": "needs single votes"},
    }  # fmt: skip
    assert analysis_lines(results, summary)[3:] == [
        "1,200 of 5,000 main votes excluded by rule (attention_below = 0.75); sensitivity.csv has "
        "the results without exclusions beside these.",
        "1 row of the file left out: no label (has_label is false).",
        "elo, agreement: needs single votes.",
    ]
    assert len(analysis_lines(results, {"votes_excluded": 0})) == 3
