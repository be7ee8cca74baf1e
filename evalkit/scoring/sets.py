"""Metrics of sets: each model's images against a reference -> sets/<metric>.csv."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evalkit import tables
from evalkit.content import REFERENCE_MODEL, Contents, set_contents, set_key
from evalkit.errors import EvalkitError, StudyError, listed, nearest
from evalkit.metrics import metric_card
from evalkit.scoring.images import ok_images
from evalkit.scoring.kept import Columns, Kept
from evalkit.scoring.metric_run import Run
from evalkit.scoring.unit import Unit, hash_files, hash_images
from evalkit.scoring.writing import write_beside

LEAST = 2  # images of a set; a metric may need more
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def score_sets(run: Run, reference: str | None) -> pd.DataFrame:
    """Measure each model's images against the reference (`tables.SET_SCORES`).

    `reference` is a folder of images, with all below it, or `model:NAME` for the images of another
    model of the study. Raises EvalkitError where there is none, or too few images.
    """
    folder, job = run.folder, run.job
    images = _hashed_images(run)
    models = _models(run, images)
    name, others = _reference(run, reference, models)
    sets = {model: units for model, units in models.items() if REFERENCE_MODEL + model != name}
    if not sets:
        raise StudyError(f"{folder.root}: {name} is the only model with images; name another")
    for what, units in [(name, others), *sets.items()]:
        if len(units) < LEAST:
            raise StudyError(
                f"{folder.root}: {job.metric}: {what} has {len(units)} images; a set needs at "
                f"least {LEAST}; give more"
            )
    distances = _Distances(run, sets, others)
    rows = [
        {
            "metric": job.metric,
            "weights": run.weights,
            "model": model,
            **distances.of(model),
            "n": len(units),
            "n_reference": len(others),
            "reference": name,
        }
        for model, units in sets.items()
    ]
    own = set_contents(images, name)
    scores = pd.DataFrame(rows).assign(content=[own[model, name] for model in sets])
    write_beside(
        run, scores, folder.sets, tables.SET_SCORES, ["model", "reference"],
        lambda before: _contents(images, before["reference"]), told_by=("weights", "reference"),
    )  # fmt: skip
    return scores


def _contents(images: pd.DataFrame, references: Iterable[str]) -> Contents:
    """What every model is, against each of these references."""
    contents: Contents = {}
    for reference in set(references):
        contents |= set_contents(images, reference)
    return contents


def _hashed_images(run: Run) -> pd.DataFrame:
    """The images that are ok, with the hash of each as it lies there."""
    images = ok_images(run)
    hashes = hash_images(run.folder, images["file_name"], images["sha256"])
    return images.assign(sha256=images["file_name"].map(hashes))


class _Distances:
    """Distances of each set to the reference; features are computed once one is not known."""

    def __init__(self, run: Run, sets: dict[str, list[Unit]], others: list[Unit]) -> None:
        self._run, self._sets, self._others = run, sets, others
        self._kept: Kept = run.kept("distances")
        self._features: dict[str, Columns] = {}

    def of(self, model: str) -> dict[str, float | str]:
        """Columns score, ci_low, ci_high, method."""
        units = self._sets[model]
        key = set_key(_keys(units), _keys(self._others))
        row = self._kept.row(key)
        if row is None:
            row = self._measure(units, model)
            self._kept.add([key], {name: np.array([value]) for name, value in row.items()})
        bounds = {name: float(row.get(name, np.nan)) for name in ("ci_low", "ci_high")}
        return {"score": float(row["score"]), **bounds, "method": str(row["method"])}

    def _measure(self, units: list[Unit], model: str) -> Columns:
        if not self._features:
            everything = [unit for each in (*self._sets.values(), self._others) for unit in each]
            self._features = self._run.answer(everything, "features")
        metric = self._run.metric
        score, *bounds = metric.distance(self._table(units), self._table(self._others))
        if not np.isfinite(score):
            raise EvalkitError(
                f"{model}: its {self._run.job.metric} is {score}; a distance is a finite number; "
                "look at the images and the weights"
            )
        method = getattr(metric, "method", metric_card(self._run.job.metric).source)
        row = {"score": np.float64(score), "method": np.str_(method)}
        if np.isfinite(bounds).all():  # without an interval nothing is kept of it
            row |= dict(zip(("ci_low", "ci_high"), map(np.float64, bounds), strict=True))
        return row

    def _table(self, units: list[Unit]) -> np.ndarray:
        return np.stack([self._features[unit.key]["features"] for unit in units])


def _models(run: Run, images: pd.DataFrame) -> dict[str, list[Unit]]:
    """The units of each model that has images."""
    folder = run.folder
    return {
        str(model): _units([folder.images / name for name in part["file_name"]], part["sha256"])
        for model, part in images.groupby("model", sort=False)
    }


def _reference(
    run: Run, reference: str | None, models: dict[str, list[Unit]]
) -> tuple[str, list[Unit]]:
    """Name and units of the reference."""
    if reference is None:
        raise EvalkitError(
            f"score: {run.job.metric} compares sets of images and needs another one; add "
            f"--reference with a folder of images, or {REFERENCE_MODEL}NAME of a model of the study"
        )
    if reference.startswith(REFERENCE_MODEL):
        model = reference.removeprefix(REFERENCE_MODEL)
        if model not in models:
            raise StudyError(
                f'{run.folder.root}: reference "{reference}"; models with images are '
                f"{listed(models)}; name one of them{nearest(model, models)}"
            )
        return reference, models[model]
    place = Path(reference)
    files = sorted(file for file in place.rglob("*") if file.suffix.lower() in _ENDINGS)
    if not files:
        raise EvalkitError(
            f"{place}: no image is there ({listed(_ENDINGS)}); the reference is a folder of "
            f"images, or {REFERENCE_MODEL}NAME of a model of the study; name one"
        )
    units = _units(files, hash_files(files, run.folder))
    return f"{place.resolve().name}@{set_key(_keys(units))[:12]}", units


def _keys(units: Sequence[Unit]) -> list[str]:
    return [unit.key for unit in units]


def _units(files: Sequence[Path], hashes: Sequence[str]) -> list[Unit]:
    pairs = zip(files, hashes, strict=True)
    return [Unit(label=str(file), files=(file,), hashes=(sha256,)) for file, sha256 in pairs]
