"""Images -> checks: pairs of which one image is plainly right, to attend to, practise and show."""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.design.pairs import short_hash, usable_images
from evalkit.design.parts import question_parts
from evalkit.study import Study
from evalkit.study_sections import Question

_SPARE_CHECKS = 2  # attention checks planned for each one that an annotator meets: they differ


def plan_checks(images: pd.DataFrame, prompts: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Checks (`tables.CHECKS`): two images of which one is plainly the right choice.

    A question that shows the prompt gets an image of the prompt beside one by the same model for
    the prompt that shares the fewest words with it (foil `other_prompt`); any other question gets
    an image beside a grossly pixelated copy of itself (foil `pixelated`; image_a = image_b).
    `expected` is the right image, at random a or b.

    `role` is `attention` (among an annotator's trials), `practice` (before them, with feedback) or
    `example` (on the page of instructions). Only a question that hides the prompt has an example:
    it is shown first of all, and no prompt may be known before such questions are answered. Each
    image stands in one check of a question at most; where images are too few, spare attention
    checks are left out first, then the example, then practice. Without images: an empty table.
    """
    rng = np.random.default_rng(study.seed)
    usable = usable_images(images, study)
    words = {
        row.prompt_id: frozenset(re.findall(r"\w+", row.prompt.lower()))
        for row in prompts.itertuples()
    }
    rows = [
        _check_row(question, role, image, foil, rng)
        for question, length in question_parts(study.questions, study.design)
        for role, (image, foil) in zip(
            _roles(question, length, study),
            _images_and_foils(question, usable, words, rng),
            strict=False,  # there may be more images than roles, or fewer
        )
    ]
    return tables.check(pd.DataFrame(rows, columns=tables.CHECKS.names), tables.CHECKS, "checks")


def _roles(question: Question, length: int, study: Study) -> list[str]:
    """The roles of a question's checks, the ones needed most first."""
    attention = ["attention"] * study.design.attention_trials(length)
    practice = ["practice"] * study.design.practice_trials
    example = [] if question.show_prompt else ["example"]
    return [*attention, *practice, *example, *attention * (_SPARE_CHECKS - 1)]


def _images_and_foils(
    question: Question,
    usable: pd.DataFrame,
    words: Mapping[str, frozenset[str]],
    rng: np.random.Generator,
) -> Iterator[tuple[tuple, tuple]]:
    """Images in random order, no prompt again before all others had their turn."""
    order = usable.iloc[rng.permutation(len(usable))]
    order = order.iloc[order.groupby("prompt_id").cumcount().argsort(kind="stable")]
    for image in order.itertuples():
        foil = _other_prompt(image, usable, words, rng) if question.show_prompt else image
        if foil is not None:
            yield image, foil


def _other_prompt(
    image: tuple,
    usable: pd.DataFrame,
    words: Mapping[str, frozenset[str]],
    rng: np.random.Generator,
) -> tuple | None:
    others = usable[
        (usable["model"] == image.model)
        & (usable["seed"] == image.seed)
        & (usable["prompt_id"] != image.prompt_id)
    ]
    if others.empty:
        return None
    own = words[image.prompt_id]
    shared = [len(own & words[i]) / max(1, len(own | words[i])) for i in others["prompt_id"]]
    best = np.flatnonzero(np.array(shared) == min(shared))
    return next(others.iloc[[rng.choice(best)]].itertuples())


def _check_row(
    question: Question, role: str, image: tuple, foil: tuple, rng: np.random.Generator
) -> dict[str, str]:
    expected = "ab"[rng.integers(2)]
    right, wrong = image.image_id, foil.image_id
    return {
        "pair_id": short_hash("check", question.id, right, wrong),
        "question_id": question.id,
        "prompt_id": image.prompt_id,
        "foil_prompt_id": foil.prompt_id,
        "model": image.model,
        "image_a": right if expected == "a" else wrong,
        "image_b": wrong if expected == "a" else right,
        "role": role,
        "expected": expected,
        "foil": "other_prompt" if question.show_prompt else "pixelated",
    }
