"""Example pairs: which are chosen."""

from evalkit.report.examples import choose_pairs
from evalkit.report.explorer import Pair


def pair(pair_id: str, *votes: tuple[int, int], upset: bool = False) -> Pair:
    """A pair with votes for a and for b on each question, and two ties that decide nothing."""
    answers = [{"votes": [a, b, 2, 0], "split": 0.5, "upset": upset} for a, b in votes]
    return {"id": pair_id, "answers": [*answers, None]}  # one question without votes


def chosen(*pairs: Pair) -> list[tuple[str, str]]:
    return [(why, pair["id"]) for why, pair in choose_pairs(list(pairs))]


def test_the_closest_the_clearest_and_the_upset_are_those() -> None:
    pairs = [
        pair("some", (4, 2)),
        pair("even", (3, 3)),
        pair("clear", (6, 0)),
        pair("small-upset", (2, 3), upset=True),
        pair("upset", (1, 4), upset=True),
    ]
    assert chosen(*pairs) == [("closest", "even"), ("clearest", "clear"), ("upset", "upset")]


def test_questions_that_disagree_are_not_close() -> None:
    opposite = pair("opposite", (5, 0), (0, 5))  # even in all, one-sided in each
    assert chosen(opposite, pair("even", (3, 2), (2, 3)))[0] == ("closest", "even")


def test_of_equals_the_one_with_more_votes_comes_first() -> None:
    pairs = [pair("few", (1, 1)), pair("many", (4, 4)), pair("one", (1, 0)), pair("five", (5, 0))]
    assert chosen(*pairs) == [("closest", "many"), ("clearest", "five")]


def test_no_pair_stands_twice_and_none_without_a_vote_for_a_model() -> None:
    assert chosen(pair("tied", (0, 0))) == []
    assert chosen(pair("only", (2, 1), upset=True)) == [("closest", "only")]
