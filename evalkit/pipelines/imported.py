"""Images that were made elsewhere, found by prompt and seed in a folder or through a table."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalkit import tables
from evalkit.errors import ModelError, TableError, listed
from evalkit.models import ImportedModel
from evalkit.pipelines.pipeline import Rendered, Request
from evalkit.pipelines.pixels import SUFFIXES, read_image, rendered
from evalkit.pipelines.versions import versions

_TABLE = tables.Table(
    "imported images",
    (
        tables.Column("prompt_id", required=False),
        tables.Column("prompt", required=False),
        tables.Column("seed", "integer"),
        tables.Column("file"),
    ),
)


class ImportedImages:
    """The files of one ImportedModel; a `Pipeline` whose times say nothing of the model.

    `files` has the files by (`by` of the request, seed), all of them where there is more than one.
    """

    timed = False

    def __init__(
        self, spec: ImportedModel, files: dict[tuple[str, int], list[Path]], by: str
    ) -> None:
        self._spec, self._files, self._by = spec, files, by
        self._where = f"models.{spec.name}"
        self.made_with: dict[str, Any] = {
            "pipeline": "imported",
            "files": spec.images,
            "versions": versions("pillow"),
        }

    def check(self, requests: Sequence[Request]) -> None:
        """Every request has one file, decodable and of the right size; else ModelError."""
        missing = [request for request in requests if not self._found(request)]
        if missing:
            first = missing[0]
            raise ModelError(
                f"{self._where}: {len(missing)} of {len(requests)} images are missing in "
                f'"{self._spec.images}", the first of prompt "{first.prompt_id}" '
                f'("{first.prompt}") with seed {first.seed}; every prompt has one for every seed '
                f"({self._expected(first)}); add what is missing"
            )
        for request in requests:
            self._read(request)

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """The decoded pixels of each file, in order; ModelError as `check`."""
        return [
            replace(rendered(self._read(request)), source_sha256=_sha256(self._found(request)[0]))
            for request in requests
        ]

    def refuse_replaced(self, request: Request, then: str) -> None:
        """ModelError where its one file has not the hash of then; one that is gone is no harm."""
        found = self._found(request)
        if len(found) == 1 and found[0].is_file() and _sha256(found[0]) != then:
            raise ModelError(
                f"{self._where}: {found[0]} is another file than the one that was imported; a "
                "model's images are imported from one set; put that file back, or give the model "
                "another revision in study.toml (or delete its folder of images), so that all of "
                "them are imported anew"
            )

    def close(self) -> None:
        """Nothing is held."""

    def _found(self, request: Request) -> list[Path]:
        return self._files.get((getattr(request, self._by), request.seed), [])

    def _read(self, request: Request) -> Any:
        found = self._found(request)
        if len(found) != 1:
            raise ModelError(
                f'{self._where}: prompt "{request.prompt_id}" with seed {request.seed} has '
                f'{len(found)} files in "{self._spec.images}" ({listed(map(str, found))}); '
                "allowed is one; take the others out"
            )
        return read_image(found[0], self._spec, f"{self._where}: {found[0]}")

    def _expected(self, request: Request) -> str:
        if Path(self._spec.images).suffix in (".csv", ".tsv"):
            return "a row of the table"
        ends = f"{request.seed}.EXT"
        return (
            f"{request.prompt_id}/{ends} or {request.prompt_id}_{ends}, EXT one of "
            f"{listed(suffix[1:] for suffix in SUFFIXES)}"
        )


def load(spec: ImportedModel, device: str | None) -> ImportedImages:
    """Find the files; no device is needed. ModelError where there is no such folder or table."""
    path = spec.folder / spec.images
    if path.is_dir():
        return ImportedImages(spec, _in_folder(path), "prompt_id")
    if path.suffix in (".csv", ".tsv") and path.is_file():
        return _of_table(spec, path)
    raise ModelError(
        f'models.{spec.name}: images = "{spec.images}": no such folder or table ({path}); allowed '
        "is a folder, or a table that ends in .csv or .tsv; correct it in study.toml"
    )


def check(spec: ImportedModel, requests: Sequence[Request]) -> None:
    """ModelError where an image is missing, there twice, not decodable or of another size."""
    load(spec, None).check(requests)


def refuse_replaced(spec: ImportedModel, imported: Iterable[tuple[Request, str]]) -> None:
    """ModelError where a file was replaced under its path since it was imported.

    `imported` has the SHA-256 of each file then. What is no longer there is needed no more.
    """
    if (spec.folder / spec.images).exists():
        images = load(spec, None)
        for request, then in imported:
            images.refuse_replaced(request, then)


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _in_folder(folder: Path) -> dict[tuple[str, int], list[Path]]:
    """The images named PROMPT_ID/SEED.EXT and PROMPT_ID_SEED.EXT; other files do not count."""
    files = defaultdict(list)
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if path.parent == folder:
            prompt_id, _, seed = path.stem.rpartition("_")
        else:
            prompt_id, seed = path.parent.name, path.stem
        if seed.isascii() and seed.isdigit():
            files[prompt_id, int(seed)].append(path)
    return files


def _of_table(spec: ImportedModel, path: Path) -> ImportedImages:
    try:
        table = tables.read(path, _TABLE)
    except TableError as error:
        raise ModelError(f"models.{spec.name}: {error}") from None
    keys = [name for name in ("prompt_id", "prompt") if name in table.columns]
    if not keys:
        raise ModelError(
            f"models.{spec.name}: {path}: column prompt_id is missing, and prompt too; one of them "
            "says whose image it is; add it"
        )
    files = defaultdict(list)
    for prompt, seed, file in zip(table[keys[0]], table["seed"], table["file"], strict=True):
        files[prompt.strip(), int(seed)].append(path.parent / file)
    return ImportedImages(spec, files, keys[0])
