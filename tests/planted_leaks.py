"""Studies in which something gives the models away: plain functions that plant one leak each."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
from PIL import Image, PngImagePlugin

from evalkit.leaks.key import pair_models, public_key
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder

FIRST_MODEL = "secret-alpha"


def files_of_models(folder: StudyFolder) -> dict[Path, str]:
    """The public images as they are, not pixelated, with the model of each."""
    store = open_store(folder.store_address)
    try:
        key = public_key(folder, store)
    finally:
        store.close()
    plain = key[key["treatment"] == "plain"]
    return {folder.blinded / row.file: row.model for row in plain.itertuples()}


def _each_of_first(folder: StudyFolder, change: Callable[[Path], None]) -> None:
    for path, model in files_of_models(folder).items():
        if model == FIRST_MODEL:
            change(path)
            os.utime(path, (0, 0))


def metadata(folder: StudyFolder) -> None:
    """One model's images keep a text chunk."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "some tool")
    _each_of_first(folder, lambda path: Image.open(path).save(path, pnginfo=info))


def other_format(folder: StudyFolder) -> None:
    """One model's images are JPEG files."""
    _each_of_first(folder, lambda path: Image.open(path).save(path, format="JPEG"))


def palette(folder: StudyFolder) -> None:
    """One model's images are PNG files with a palette."""
    _each_of_first(folder, lambda path: Image.open(path).quantize(16).save(path, format="PNG"))


def other_size(folder: StudyFolder) -> None:
    """One model's images have another canvas."""
    _each_of_first(folder, lambda path: Image.open(path).resize((80, 80)).save(path))


def trailing_bytes(folder: StudyFolder) -> None:
    """As many bytes after each image as its model's name has letters."""
    for path, model in files_of_models(folder).items():
        path.write_bytes(path.read_bytes() + bytes(len(model)))
        os.utime(path, (0, 0))


def other_compression(folder: StudyFolder) -> None:
    """One model's images are compressed in another way; the pixels are the same."""
    _each_of_first(folder, lambda path: Image.open(path).save(path, compress_level=9))


def swapped_pictures(folder: StudyFolder) -> None:
    """Two public images have changed places."""
    first, second = list(files_of_models(folder))[:2]
    content = first.read_bytes(), second.read_bytes()
    for path, data in zip((second, first), content, strict=True):
        path.write_bytes(data)
        os.utime(path, (0, 0))


def times_of_models(folder: StudyFolder) -> None:
    """The public images have the time at which their model's were made."""
    models = files_of_models(folder)
    for path in folder.blinded.iterdir():
        when = 1_000 + len(models.get(path, ""))
        os.utime(path, (when, when))


def permissions_of_models(folder: StudyFolder) -> None:
    """One model's images may be read by nobody else."""
    _each_of_first(folder, lambda path: path.chmod(0o600))


def stray_file(folder: StudyFolder) -> None:
    """Something else lies among the public images."""
    (folder.blinded / "notes.txt").write_text("")
    os.utime(folder.blinded / "notes.txt", (0, 0))


def missing_file(folder: StudyFolder) -> None:
    """A public image is gone."""
    next(iter(files_of_models(folder))).unlink()


def names_not_at_random(folder: StudyFolder) -> None:
    """The public images are named by something that is more than a random number."""
    _rename(folder, lambda path, _: f"image-{path.name}")


def names_in_order_of_models(folder: StudyFolder) -> None:
    """The names look random, and sort by model."""
    models = sorted(set(files_of_models(folder).values()))
    _rename(folder, lambda path, model: f"{models.index(model)}{path.name[1:]}")


def names_in_clusters(folder: StudyFolder) -> None:
    """The names of one model begin with 7 or 8, in the middle of all: no order, but a cluster."""
    digits = "78"
    others = "0123cdef"

    def name(path: Path, model: str) -> str:
        choice = digits if model == FIRST_MODEL else others
        return choice[int(path.name[1], 16) % len(choice)] + path.name[1:]

    _rename(folder, name)


def _rename(folder: StudyFolder, name: Callable[[Path, str], str]) -> None:
    with closing(sqlite3.connect(folder.store_address)) as database, database:
        for path, model in files_of_models(folder).items():
            new = path.with_name(name(path, model))
            path.rename(new)
            for column in ("file_a", "file_b"):
                statement = f"UPDATE pairs SET {column} = ? WHERE {column} = ?"
                database.execute(statement, (new.name, path.name))


def pairs_in_order_of_models(folder: StudyFolder) -> None:
    """The database holds the pairs sorted by their models."""
    models = pair_models(folder).set_index("pair_id")["model_a"]
    with closing(sqlite3.connect(folder.store_address)) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        rows = database.execute("SELECT * FROM pairs").fetchall()
        names = [column[1] for column in database.execute("PRAGMA table_info(pairs)")]
        place = names.index("pair_id")
        rows.sort(key=lambda row: models.get(row[place], ""))
        database.execute("DELETE FROM pairs")
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO pairs VALUES ({marks})", rows)


def sides_of_models(folder: StudyFolder) -> None:
    """The trials so far always had the model that is first by name on the left."""
    with closing(sqlite3.connect(folder.store_address)) as database, database:
        database.execute("UPDATE trials SET \"left\" = 'a'")


def positions_of_models(folder: StudyFolder) -> None:
    """The trials so far came sorted by model within each annotator's session."""
    models = pair_models(folder).set_index("pair_id")["model_a"]
    with closing(sqlite3.connect(folder.store_address)) as database, database:
        query = "SELECT trial_id, annotator_id, pair_id FROM trials"
        trials = pd.DataFrame(database.execute(query), columns=["trial_id", "who", "pair_id"])
        trials = trials.assign(model=trials["pair_id"].map(models)).sort_values("model")
        places = 1_001 + trials.groupby("who").cumcount()
        move = "UPDATE trials SET position = ? WHERE trial_id = ?"
        database.executemany(move, list(zip(places.tolist(), trials["trial_id"], strict=True)))


def ids_of_models(folder: StudyFolder) -> None:
    """The ids of the trials so far begin with a letter for the model on the left."""
    models = pair_models(folder).set_index("pair_id")
    with closing(sqlite3.connect(folder.store_address)) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        for trial_id, pair_id, left in database.execute(
            'SELECT trial_id, pair_id, "left" FROM trials'
        ).fetchall():
            if pair_id in models.index:
                name = f"{models.loc[pair_id, f'model_{left}'].removeprefix('secret-')}-{trial_id}"
                for table in ("trials", "votes"):
                    rename = f"UPDATE {table} SET trial_id = ? WHERE trial_id = ?"
                    database.execute(rename, (name, trial_id))
