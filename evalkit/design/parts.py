"""The trials of one question: how many, of which kinds, in blocks of which length."""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.study_sections import Design, Question

MIN_REPEAT_GAP = 10  # trials from a showing to its repeat


class Composition(NamedTuple):
    """How many trials of each kind make a part; practice comes before them and does not count."""

    main: int
    attention: int
    repeat: int


def question_parts(questions: Sequence[Question], design: Design) -> list[tuple[Question, int]]:
    """The questions in the order of their parts, each with its number of trials per annotator.

    Questions that do not show the prompt come first, so that no prompt is known when they are
    answered; within that, the order of the study file. The trials are split evenly, a remainder
    goes to the first parts.
    """
    ordered = sorted(questions, key=lambda question: question.show_prompt)
    each, rest = divmod(design.trials_per_annotator, len(ordered))
    return [(question, each + (place < rest)) for place, question in enumerate(ordered)]


def composition(design: Design, length: int, n_pairs: int, n_checks: int) -> Composition:
    """How many main, attention and repeat trials make a part of at most `length` trials.

    `n_pairs` bounds the main trials and `n_checks` the attention checks; with fewer pairs than the
    length needs the part is shorter, its shares kept. No pairs: no trials. A part of no more than
    `MIN_REPEAT_GAP` trials has no repeats.
    """
    if n_pairs == 0:
        return Composition(0, 0, 0)
    for n in range(length, 0, -1):
        attention = min(design.attention_trials(n), n_checks)
        repeat = min(design.repeat_trials(n), (n - attention) // 2, max(0, n - MIN_REPEAT_GAP))
        if n - attention - repeat <= n_pairs:
            return Composition(n - attention - repeat, attention, repeat)
    return Composition(0, 0, 0)


def block_length(design: Design, length: int) -> int:
    """Trials in each block (the last may have fewer) of a part of `length` trials; at least 1.

    As few blocks as `design.block_length` allows, nearly equally long: 50 trials in blocks of at
    most 20 are 17, 17 and 16. Without a `block_length` the part is one block.
    """
    n_blocks = _divided_up(length, design.block_length or length or 1)
    return max(1, _divided_up(length, max(1, n_blocks)))


def _divided_up(n: int, by: int) -> int:
    return -(-n // by)
