"""Shape and size of the originals: bars that name a model, images enlarged for one model alone."""

from collections import Counter

import pandas as pd

from evalkit.leaks.finding import Finding
from evalkit.leaks.statistics import MIN_EFFECT

_BARS = "give the images of all models one aspect ratio: generate or crop them anew in a new study"
_ENLARGED = (
    "no leak of the app, but annotators see it: set images.viewing_size to the smallest, or say it "
    "with the results"
)


def check_shapes(
    key: pd.DataFrame, stored: pd.DataFrame, matchups: pd.DataFrame, viewing_size: int
) -> list[Finding]:
    """Whether the grey bars beside the images tell models apart, and whose images are enlarged.

    `key` as `leaks.key.public_key` gives it, `stored` the blinded pairs, `matchups` has pair_id,
    model_a, model_b. Other bars are a leak; another resolution is a warning.
    """
    plain = key[key["treatment"] == "plain"]
    pairs = stored.merge(matchups, on="pair_id")
    return [_bars(plain, pairs, viewing_size), _resolution(plain, viewing_size)]


def _bars(plain: pd.DataFrame, pairs: pd.DataFrame, viewing_size: int) -> Finding:
    name = "bars"
    boxes = {row.file: _box(row.width, row.height, viewing_size) for row in plain.itertuples()}
    shown = pairs.assign(a=pairs["file_a"].map(boxes), b=pairs["file_b"].map(boxes))
    guesses = {
        models: _right(list(zip(of["a"], of["b"], strict=True)))
        for models, of in shown.groupby(["model_a", "model_b"])
    }
    differing = int((shown["a"] != shown["b"]).sum())
    if not differing:
        return Finding(name, True, "the same on both sides of every pair, or none")
    (first, second), right = max(guesses.items(), key=lambda item: item[1])
    said = f"both images of {differing} of {len(shown)} pairs have different grey bars"
    if right >= 0.5 + MIN_EFFECT:
        found = f"{said}: a guess by them is right in {right:.0%} for {first} from {second}"
        return Finding(name, False, found, "", _BARS)
    return Finding(name, True, f"{said}, which tell no models apart")


def _box(width: int, height: int, viewing_size: int) -> tuple[int, int]:
    """Width and height (px) of what such an image fills of the square: as `ImageOps.contain`."""
    longest = max(width, height)
    return round(width / longest * viewing_size), round(height / longest * viewing_size)


def _right(boxes: list[tuple]) -> float:
    """How often one who knows all other pairs of two models names both by their boxes alone."""
    seen = Counter(boxes)
    right = 0.0
    for ours, theirs in boxes:
        like, unlike = seen[ours, theirs] - 1, seen[theirs, ours]
        knows = ours != theirs and like != unlike
        right += (like > unlike) if knows else 0.5
    return right / len(boxes)


def _resolution(plain: pd.DataFrame, viewing_size: int) -> Finding:
    name = "resolution"
    longest = plain[["width", "height"]].max(axis="columns").groupby(plain["model"]).median()
    small = longest[longest < viewing_size]
    if longest.clip(upper=viewing_size).nunique() > 1:
        told = ", ".join(f"{model} {size:.0f} px" for model, size in small.items())
        found = f"images of some models are enlarged to {viewing_size} px and look softer: {told}"
        return Finding(name, True, found, remedy=_ENLARGED, warning=True)
    enlarged = "all are enlarged alike" if len(small) else "none is enlarged"
    return Finding(name, True, f"{enlarged} to be shown at {viewing_size} px")
