"""Images -> pairs: which two images of one prompt and seed are compared."""

import hashlib
import itertools

import pandas as pd

from evalkit import tables
from evalkit.study import Study


def matchups(study: Study) -> list[tuple[str, str]]:
    """The pairs of models that the study compares, each sorted by name, in order of names."""
    if study.design.pairs == "all":
        return list(itertools.combinations(sorted(study.model_names), 2))
    return sorted((min(pair), max(pair)) for pair in study.design.pairs)


def plan_pairs(images: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Pairs (`tables.PAIRS`): two images of one prompt and seed, by two models of the study.

    Images that are not ok make no pair. Without images: an empty table.
    """
    usable = usable_images(images, study)
    sides = {name: usable[usable["model"] == name] for name in study.model_names}
    parts = [
        sides[a].merge(sides[b], on=["prompt_id", "seed"], suffixes=("_a", "_b"))
        for a, b in matchups(study)
    ]
    pairs = pd.concat(parts, ignore_index=True).rename(
        columns={"image_id_a": "image_a", "image_id_b": "image_b"}
    )
    if pairs.empty:
        return tables.PAIRS.empty()
    pairs["pair_id"] = [
        short_hash(a, b) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)
    ]
    pairs = pairs.sort_values(["prompt_id", "seed", "model_a", "model_b"], ignore_index=True)
    return tables.check(pairs, tables.PAIRS, "pairs")


def usable_images(images: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Columns image_id, prompt_id, model, seed of the study's images that are ok."""
    wanted = (
        (images["status"] == "ok")
        & images["model"].isin(study.model_names)
        & images["seed"].isin(study.images.seeds)
    )
    return images.loc[wanted, ["image_id", "prompt_id", "model", "seed"]].reset_index(drop=True)


def short_hash(*parts: str) -> str:
    """16 hex digits that name these parts in this order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
