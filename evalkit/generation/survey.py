"""What lies there already: the records of the images that are wanted, and which are intact."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from evalkit.addresses import get_all, is_remote
from evalkit.files import file_sha256, list_sizes
from evalkit.generation.record import Record, image_file, parse_record, record_file
from evalkit.study_folder import StudyFolder

_TOGETHER = 256  # records per turn of a thread
_THREADS = 8


class Survey:
    """The files that lie in the folders of these images' models (column model), listed once."""

    def __init__(self, folder: StudyFolder, wanted: pd.DataFrame) -> None:
        models = wanted["model"].unique().tolist()
        self._places = {model: folder.images / model for model in models}
        with ThreadPoolExecutor(_THREADS) as threads:
            self._sizes = dict(
                zip(models, threads.map(list_sizes, self._places.values()), strict=True)
            )

    def read_records(self, wanted: pd.DataFrame) -> dict[str, Record]:
        """The readable records of these images (columns model, image_id), by image id, in order."""
        found: dict[str, Record] = {}
        for model, image_ids in wanted.groupby("model", sort=False)["image_id"]:
            place, sizes = self._places[model], self._sizes[model]
            listed = [image_id for image_id in image_ids if f"{image_id}.json" in sizes]
            found |= {record.image_id: record for record in _read(place, listed)}
        return found

    def intact(self, wanted: pd.DataFrame, records: dict[str, Record]) -> list[bool]:
        """For each row whether nothing is left to do: its PNG is there as recorded, or the model's
        safety filter decided.

        Columns model, image_id and, once there are votes, sha256: then the file must have that
        hash (or there is nothing to do where it is empty). A file of this machine is read, since a
        disk may hold anything; of an object store, which takes a file whole and checks it as it
        comes, the listed size and the record are trusted, so that no image is read again over a
        network.
        """
        fixed = wanted["sha256"].tolist() if "sha256" in wanted else [None] * len(wanted)
        rows = list(zip(wanted["model"], wanted["image_id"], fixed, strict=True))

        def are_intact(rows: list[tuple[str, str, str | None]]) -> list[bool]:
            return [self._is_intact(*row, records.get(row[1])) for row in rows]

        with ThreadPoolExecutor(_THREADS) as threads:
            return [flag for flags in threads.map(are_intact, _chunks(rows)) for flag in flags]

    def _is_intact(
        self, model: str, image_id: str, sha256: str | None, record: Record | None
    ) -> bool:
        if sha256 is None:
            if record is None or record.status != "ok":
                return record is not None and record.status == "filtered"
            sha256 = record.sha256
        elif not sha256:
            return True
        size = self._sizes[model].get(f"{image_id}.png")
        if size is None:
            return False
        if is_remote(self._places[model]):
            return record is not None and (record.sha256, record.n_bytes) == (sha256, size)
        return file_sha256(image_file(self._places[model], image_id)) == sha256


def _read(place: Path, image_ids: list[str]) -> Iterator[Record]:
    if is_remote(place):
        with ThreadPoolExecutor(_THREADS) as threads:
            for records in threads.map(lambda ids: _fetch(place, ids), _chunks(image_ids)):
                yield from records
        return
    for image_id in image_ids:
        try:
            data = record_file(place, image_id).read_bytes()
        except FileNotFoundError:  # taken away since it was listed
            continue
        if record := parse_record(data, image_id):
            yield record


def _fetch(place: Path, image_ids: list[str]) -> list[Record]:
    contents = get_all([record_file(place, image_id) for image_id in image_ids])
    parsed = [
        parse_record(data, image_id)
        for data, image_id in zip(contents, image_ids, strict=True)
        if data is not None
    ]
    return [record for record in parsed if record is not None]


def _chunks(items: list) -> list[list]:
    return [items[start : start + _TOGETHER] for start in range(0, len(items), _TOGETHER)]
