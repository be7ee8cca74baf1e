"""The study folder: where each file of a study lies; one study = one folder that can be moved."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.addresses import open_address
from evalkit.errors import StudyError, listed
from evalkit.study import Study, read_study


@dataclass(frozen=True)
class StudyFolder:
    """A folder with a study.toml; every path of the study comes from here."""

    root: Path

    @cached_property
    def study(self) -> Study:
        """The study, read and validated once."""
        return read_study(self.root / "study.toml")

    @property
    def prompts_file(self) -> Path:
        """The drawn prompts (`tables.PROMPTS`), written by generation."""
        return self.root / "prompts.csv"

    @property
    def prompts_record(self) -> Path:
        """How the prompts came to be: rows read and dropped, the draw, prompts that are cut."""
        return self.root / "prompts.json"

    @cached_property
    def images(self) -> Path:
        """Folder of the generated images, one sub-folder per model.

        Where the study gives an address, a path there (see `evalkit.addresses`); StudyError where
        such addresses cannot be used.
        """
        address = self.study.images.address
        if address is None:
            return self.root / "images"
        return open_address(address, f"{self.root / 'study.toml'}: images.address")

    @property
    def images_file(self) -> Path:
        """The images (`tables.IMAGES`), written by generation."""
        return self.root / "images.csv"

    @property
    def manifest_file(self) -> Path:
        """How the images were made: settings, versions, device per model; it goes with them."""
        there = self.root if self.study.images.address is None else self.images
        return there / "manifest.json"

    @property
    def bench_file(self) -> Path:
        """How long each model takes, measured by itself; absent where it was not."""
        return self.root / "bench.json"

    @property
    def pairs_file(self) -> Path:
        """The pairs (`tables.PAIRS`): the key that puts model names back."""
        return self.root / "pairs.csv"

    @property
    def checks_file(self) -> Path:
        """The attention checks with their expected side."""
        return self.root / "checks.csv"

    @property
    def blinded(self) -> Path:
        """Folder of the public images: one canvas, no metadata, opaque names."""
        return self.root / "blinded"

    @property
    def lock_file(self) -> Path:
        """Hashes of study, prompts and images as they were when the first session could start."""
        return self.root / "lock.json"

    @property
    def store_address(self) -> Path | str:
        """The vote database: a file of the folder, or the address of one on a PostgreSQL server."""
        store = self.study.store
        return store if store.startswith("postgresql://") else self.root / store

    @property
    def received(self) -> Path:
        """Folder of the journals: a line per vote that arrived, one file per server process."""
        return self.root / "received"

    @property
    def check_file(self) -> Path:
        """What the leak check found, and in which state of the study."""
        return self.root / "check.json"

    @property
    def simulation_file(self) -> Path:
        """What the votes were simulated from; absent where people voted."""
        return self.root / "simulation.json"

    @property
    def scores(self) -> Path:
        """Folder of the metric scores, one CSV (`tables.SCORES`) per metric."""
        return self.root / "scores"

    @property
    def judgements(self) -> Path:
        """Folder of the judges that see two images, one CSV (`tables.JUDGEMENTS`) per metric."""
        return self.root / "judgements"

    @property
    def sets(self) -> Path:
        """Folder of models' images against a reference, a CSV (`tables.SET_SCORES`) per metric."""
        return self.root / "sets"

    @property
    def spreads(self) -> Path:
        """Folder of differences across seeds, one CSV (`tables.SPREADS`) per metric."""
        return self.root / "spreads"

    @property
    def cache(self) -> Path:
        """Folder of what metrics gave, by content; may be deleted, and is then computed again."""
        return self.root / "cache"

    @property
    def analysis(self) -> Path:
        """Folder of the result tables."""
        return self.root / "analysis"

    @property
    def screen_file(self) -> Path:
        """A picture of what annotators see in this study; absent where nobody has made one."""
        return self.root / "annotator-screen.png"

    @property
    def report(self) -> Path:
        """Folder of the report page and the tables beside it."""
        return self.root / "report"

    @property
    def report_record(self) -> Path:
        """The SHA-256 of every file of the report, and the lock it was made under."""
        return self.report / "files.json"

    def read_prompts(self) -> pd.DataFrame:
        """The drawn prompts; StudyError before generation."""
        return self._read(self.prompts_file, tables.PROMPTS)

    def read_images(self) -> pd.DataFrame:
        """The image table; StudyError before generation."""
        return self._read(self.images_file, tables.IMAGES)

    def read_prompt_texts(self, wanted: Iterable[str]) -> dict[str, str]:
        """The prompts by prompt_id; StudyError before generation, or where a wanted one is not."""
        table = self.read_prompts()
        prompts = dict(zip(table["prompt_id"], table["prompt"], strict=True))
        missing = [prompt_id for prompt_id in dict.fromkeys(wanted) if prompt_id not in prompts]
        if missing:
            raise StudyError(
                f"{self.prompts_file}: lacks {listed(missing[:5])} of images.csv; every image "
                f"needs its prompt; make both again with: evalkit generate {self.root}"
            )
        return prompts

    def _read(self, path: Path, table: tables.Table) -> pd.DataFrame:
        if not path.is_file():
            raise StudyError(f"{self.root}: no {path.name} yet; run: evalkit generate {self.root}")
        return tables.read(path, table)


def open_study(path: Path) -> StudyFolder:
    """The study folder at `path`, its study validated; StudyError where there is none."""
    if path.is_file():
        raise StudyError(f"{path}: is a file; give the study's folder: {path.parent}")
    if path.is_dir() and not (path / "study.toml").is_file():
        raise StudyError(
            f"{path}: is no study folder, since it has no study.toml; give the folder of a study, "
            "or make one with evalkit init and a new folder's name"
        )
    if not path.is_dir():
        raise StudyError(f"{path}: no such study folder; make one with: evalkit init {path}")
    folder = StudyFolder(path)
    _ = folder.study
    return folder
