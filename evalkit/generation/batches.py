"""The images that are wanted, and which of them are rendered in one call."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

import pandas as pd

from evalkit.models import CascadeModel, DiffusionModel, ModelSpec

_COMPANY = (DiffusionModel, CascadeModel)  # an image's last bits depend on what shares its call


class Wanted(NamedTuple):
    """An image of the plan; one that is made is rendered at most as company of others.

    `sha256` is what its file must have, empty where that is open.
    """

    image_id: str
    prompt_id: str
    prompt: str
    input_image: str
    seed: int
    sha256: str
    made: bool


def wanted(plan: pd.DataFrame) -> Iterator[Wanted]:
    """The rows of a plan, in order."""
    return map(Wanted, *(plan[name].tolist() for name in Wanted._fields))


def keeps_company(spec: ModelSpec) -> bool:
    """Whether an image of the model is made again only in the batch that it was made in."""
    return isinstance(spec, _COMPANY)


def batches(spec: ModelSpec, images: Iterable[Wanted], size: int) -> Iterator[list[Wanted]]:
    """Those of `images`, in order, that are to be made, in batches of at most `size`.

    Of checkpoints, the batches are those of all `images`, whichever are made already; a batch that
    has one to be made is rendered whole, so that its company is always the same. A batch has whole
    prompts, or a part of one prompt that has more than `size` seeds: texts that are encoded
    together are the same ones, whatever batch went before. Functions, commands and imported
    images come without those that are made: a call may cost money, and company does not count.
    """
    if not keeps_company(spec):
        left = (image for image in images if not image.made)
        return iter(lambda: list(islice(left, size)), [])
    return (batch for batch in _of_whole_prompts(images, size) if not all(i.made for i in batch))


def _of_whole_prompts(images: Iterable[Wanted], size: int) -> Iterator[list[Wanted]]:
    batch: list[Wanted] = []
    for _, of_prompt in groupby(images, key=lambda image: image.prompt_id):
        seeds = list(of_prompt)
        if batch and len(batch) + len(seeds) > size:
            yield batch
            batch = []
        while len(seeds) > size:
            yield seeds[:size]
            del seeds[:size]
        batch += seeds
    if batch:
        yield batch
