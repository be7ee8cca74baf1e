"""The key: which public file is which model's image; it never leaves the leak check."""

import pandas as pd

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.store import Store
from evalkit.study_folder import StudyFolder

_SIDES = ("a", "b")


def public_key(folder: StudyFolder, store: Store) -> pd.DataFrame:
    """A row per public file that the database names, in the order of the names.

    Columns file, image_id, treatment ("plain", "pixelated"), model, prompt_id, seed, file_name
    (of the original), sha256 (of the original). Raises StudyError where the database and the
    study's pairs.csv and checks.csv are not of one plan.
    """
    stored = store.pairs()
    plans = pd.concat(
        [tables.read(folder.pairs_file, tables.PAIRS), _treated(folder)], ignore_index=True
    )
    joined = stored.merge(plans, on="pair_id", how="left", suffixes=("", "_planned"))
    if joined["image_a"].isna().any():
        raise StudyError(
            f"{folder.root}: the vote database has pairs that pairs.csv and checks.csv do not; "
            "put back the tables that were made with it"
        )
    sides = [
        pd.DataFrame(
            {
                "file": joined[f"file_{side}"],
                "image_id": joined[f"image_{side}"],
                "treatment": joined[f"treatment_{side}"].fillna("plain"),
            }
        )
        for side in _SIDES
    ]
    key = pd.concat(sides).drop_duplicates().sort_values("file", ignore_index=True)
    twice = key.loc[key.duplicated("file"), "file"]
    if len(twice):
        raise StudyError(
            f"{folder.root}: {twice.iloc[0]} stands for two images in the vote database; make the "
            "public images anew in a new study"
        )
    return key.merge(folder.read_images(), on="image_id", how="left", validate="many_to_one")


def pair_models(folder: StudyFolder) -> pd.DataFrame:
    """Columns pair_id, model_a, model_b of the pairs that are no checks."""
    return tables.read(folder.pairs_file, tables.PAIRS)[["pair_id", "model_a", "model_b"]]


def _treated(folder: StudyFolder) -> pd.DataFrame:
    """The checks with the treatment of each side: the foil of a pixelated check is pixelated."""
    checks = tables.read(folder.checks_file, tables.CHECKS)
    for side in _SIDES:
        foil = (checks["foil"] == "pixelated") & (checks["expected"] != side)
        checks[f"treatment_{side}"] = foil.map({True: "pixelated", False: "plain"}).astype(object)
    return checks
