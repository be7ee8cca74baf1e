"""Stated strengths of models: read from what was given, and planted into the images of a study."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from evalkit.errors import EvalkitError, listed, nearest
from evalkit.simulate.choices import draw_effects

Strengths = dict[str, dict[str, float]]  # log-odds by question and model


def parse_strengths(
    given: Mapping[str, Any], questions: Collection[str], models: Collection[str], where: str
) -> Strengths:
    """The strength of every model in every question (log-odds; 0 where nothing is said).

    `given` holds numbers by model, the same for all questions, or such tables by question.
    EvalkitError, which begins with `where`, on an unknown name or on what is no number.
    """
    by_question = [name for name, value in given.items() if isinstance(value, Mapping)]
    if by_question and len(by_question) < len(given):
        single = next(name for name in given if name not in by_question)
        raise EvalkitError(
            f'{where}: a number for "{single}" stands beside the table of "{by_question[0]}"; '
            "allowed are numbers by model, or a table of them for each question; write one of both"
        )
    if by_question:
        _check_dots(set(by_question) - set(questions), models, where)
        _check_known(by_question, questions, "question", where)
        tables = {name: dict(given[name]) for name in by_question}
    else:
        tables = {question: dict(given) for question in questions}
    for table in tables.values():
        _check_known(table, models, "model", where)
        for model, value in table.items():
            _check_number(model, value, where)
    return {
        question: {model: float(tables.get(question, {}).get(model, 0)) for model in models}
        for question in questions
    }


def plant(
    strengths: Mapping[str, Mapping[str, float]], images: pd.DataFrame, prompt_sd: float, seed: int
) -> dict[tuple[str, str], float]:
    """The utility (log-odds) by question and image_id: the model's strength and the prompt's
    effect on it, drawn for each question, prompt and model; `prompt_sd` is the sd of a gap.

    `images` has the columns image_id, prompt_id, model; their order does not count.
    """
    rng = np.random.default_rng([seed, 0])  # annotators begin at 1
    prompts = {name: row for row, name in enumerate(sorted(set(images["prompt_id"])))}
    utilities = {}
    for question, by_model in strengths.items():
        models = {name: column for column, name in enumerate(by_model)}
        likes = draw_effects(rng, prompt_sd, (len(prompts), len(models)))
        rows: Sequence[tuple[str, str, str]] = list(
            zip(images["image_id"], images["prompt_id"], images["model"], strict=True)
        )
        for image_id, prompt_id, model in rows:
            liked = likes[prompts[prompt_id], models[model]]
            utilities[question, image_id] = by_model[model] + float(liked)
    return utilities


def _check_known(names: Collection[str], known: Collection[str], kind: str, where: str) -> None:
    for name in names:
        if name not in known:
            raise EvalkitError(
                f'{where}: unknown {kind} "{name}"; the study has '
                f"{listed(known)}{nearest(name, known)}"
            )


def _check_dots(tables: Collection[str], models: Collection[str], where: str) -> None:
    """Without quotes TOML takes `sd-1.5 = 0.3` for a key "5" in a table "sd-1"."""
    for model in models:
        start, dot, _ = model.partition(".")
        if dot and start in tables:
            raise EvalkitError(
                f'{where}: unknown question "{start}"; a name with a dot stands in quotes: '
                f'"{model}" = 0.5'
            )


def _check_number(model: str, value: object, where: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and isfinite(value)):
        raise EvalkitError(
            f"{where}: the strength of {model} is {value!r}; allowed is a number of log-odds, such "
            "as 0.5; correct it"
        )
