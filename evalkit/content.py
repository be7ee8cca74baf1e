"""What a metric's number is about: images and words, named by one hash of their content."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from evalkit.study_sections import Question

REFERENCE_MODEL = "model:"  # begins the name of a reference that is a model of the study

Contents = dict[tuple[str, ...], str]  # by the row's names; "" where an image's hash is unknown


def text_hash(text: str) -> str:
    """The SHA-256 of a text, in hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_key(hashes: Sequence[str], prompt: str = "", question: str = "") -> str:
    """64 hex digits that name images (by the SHA-256 of each) and the words beside them.

    Empty where the hash of an image is.
    """
    words = (text_hash(prompt), text_hash(question))
    return text_hash("\n".join([*hashes, *words])) if all(hashes) else ""


def set_key(*sets: Iterable[str]) -> str:
    """64 hex digits that name sets by their content keys, in any order; empty where one is."""
    ordered = [sorted(keys) for keys in sets]
    known = all(all(keys) for keys in ordered)
    return text_hash("\n\n".join("\n".join(keys) for keys in ordered)) if known else ""


def image_contents(images: pd.DataFrame, prompts: Mapping[str, str]) -> Contents:
    """By image_id; of images (`tables.IMAGES`) and the prompts by prompt_id."""
    return {
        (image.image_id,): content_key([image.sha256], prompts[image.prompt_id])
        for image in images.itertuples()
    }


def judgement_contents(
    pairs: pd.DataFrame,
    images: pd.DataFrame,
    prompts: Mapping[str, str],
    questions: Iterable[Question],
) -> Contents:
    """By question_id and pair_id (`tables.PAIRS`); a question that hides the prompt has none."""
    hashes = dict(zip(images["image_id"], images["sha256"], strict=True))
    return {
        (question.id, pair.pair_id): content_key(
            [hashes[pair.image_a], hashes[pair.image_b]],
            prompts[pair.prompt_id] if question.show_prompt else "",
            question.text,
        )
        for question in questions
        for pair in pairs.itertuples()
    }


def spread_contents(images: pd.DataFrame, least: int) -> Contents:
    """By prompt_id and model, where these have `least` images or more; in the order of seeds."""
    groups = images.sort_values("seed", kind="stable").groupby(["prompt_id", "model"])["sha256"]
    return {names: content_key(list(part)) for names, part in groups if len(part) >= least}


def set_contents(images: pd.DataFrame, reference: str) -> Contents:
    """By model and reference; of a reference that is a folder, its name says the content.

    Empty where the reference is a model without images.
    """
    own = {
        str(model): [content_key([sha256]) for sha256 in part]
        for model, part in images.groupby("model", sort=False)["sha256"]
    }
    if not reference.startswith(REFERENCE_MODEL):
        return {(model, reference): set_key(keys) for model, keys in own.items()}
    other = reference.removeprefix(REFERENCE_MODEL)
    return {
        (model, reference): set_key(keys, own[other])
        for model, keys in own.items()
        if other in own and model != other
    }
