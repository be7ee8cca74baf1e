"""A worker: one loaded model that renders batches and writes their images and records."""

import hashlib
import io
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from evalkit.addresses import is_remote
from evalkit.errors import ModelError
from evalkit.files import write_bytes
from evalkit.generation.batch_size import default_batch_size
from evalkit.generation.batches import Wanted, batches
from evalkit.generation.made_with import write_run
from evalkit.generation.record import Record, image_file, write_record
from evalkit.models import ModelSpec
from evalkit.pipelines import OutOfMemoryError, Rendered, Request, free_bytes, load_pipeline
from evalkit.study_folder import StudyFolder

_WRITERS = 8  # threads, each with one file under way
_REMOTE_WRITERS = 32  # an object store takes tens of milliseconds for a file, and many at once

# Level 6, Pillow's own, makes an image of 512x512 with the grain of a photograph an eighth smaller
# and takes twice as long, tens of milliseconds of one core (measured in benchmarks/): a GPU would
# wait for it.
_COMPRESSION = 1


def request(folder: StudyFolder, image: Wanted) -> Request:
    """What a pipeline is asked for; the input image lies in the study folder."""
    start = folder.root / image.input_image if image.input_image else None
    return Request(image.prompt_id, image.prompt, image.seed, start)


class Worker:
    """A model of the study, loaded; a batch is rendered while the last one is being written."""

    def __init__(self, folder: StudyFolder, spec: ModelSpec, device: str | None) -> None:
        """Load the model; ModelError where that fails."""
        self._folder, self._spec = folder, spec
        self._images = folder.images / spec.name
        self._pipeline = load_pipeline(spec.located(folder.root), device)
        self._writers = ThreadPoolExecutor(
            _REMOTE_WRITERS if is_remote(self._images) else _WRITERS, thread_name_prefix="writer"
        )
        self._limit: int | None = None  # images per call, once memory has run out
        self._runs: dict[int, str] = {}
        self._warm: set[int] = set()  # images of calls that were made: another number compiles anew

    @property
    def made_with(self) -> dict[str, Any]:
        """What decides the pixels beside the settings."""
        return self._pipeline.made_with

    @property
    def batch_size(self) -> int:
        """Images per call, where the user does not say."""
        return default_batch_size(self._spec, free_bytes(self._pipeline))

    def render(self, batch: Sequence[Wanted], size: int) -> list[Future[Record]]:
        """Render a batch, with at most `size` images per call; gives the records to come, of those
        that were to be made, once image and record lie.

        Where memory runs out, half as many are tried, from then on. Raises ModelError where the
        model cannot make them, or where not even one fits; a future raises ModelError where an
        image is not the one that was voted on, and OSError where it cannot be written.
        """
        written: list[Future[Record]] = []
        left = list(batch)
        while part := next(batches(self._spec, left, self._most(size)), None):
            started = time.perf_counter()
            results = self._attempt(part)
            if results is None:
                continue
            seconds = (time.perf_counter() - started) / len(part)
            made = (
                round(seconds, 6) if self._pipeline.timed else None,
                len(part) not in self._warm,
                self._run(self._most(size)),
            )
            self._warm.add(len(part))
            written += [
                self._writers.submit(self._write, image, result, *made)
                for image, result in zip(part, results, strict=True)
                if not image.made
            ]
            del left[: left.index(part[-1]) + 1]
        return written

    def close(self) -> None:
        """Let files that are being written be finished, none be begun; free the device."""
        self._writers.shutdown(wait=True, cancel_futures=True)
        self._pipeline.close()

    def _attempt(self, part: Sequence[Wanted]) -> list[Rendered] | None:
        """The results; None where so many do not fit, which lowers the limit."""
        try:
            return self._pipeline.render([request(self._folder, image) for image in part])
        except OutOfMemoryError:
            if len(part) == 1:
                raise ModelError(
                    f"models.{self._spec.name}: not even one image of {self._spec.width}x"
                    f"{self._spec.height} fits into the memory of "
                    f"{self.made_with.get('device', 'this machine')}; make width and height "
                    "smaller, compute in 16 bits (precision), or use a device with more memory"
                ) from None
            self._limit = len(part) // 2
            return None

    def _most(self, size: int) -> int:
        return min(size, self._limit or size)

    def _run(self, size: int) -> str:
        if size not in self._runs:
            self._runs[size] = write_run(self._images, {**self.made_with, "batch_size": size})
        return self._runs[size]

    def _write(
        self, image: Wanted, result: Rendered, seconds: float | None, first_batch: bool, run: str
    ) -> Record:
        png = _png(result)
        sha256 = hashlib.sha256(png).hexdigest() if png else ""
        if image.sha256 and sha256 != image.sha256:
            raise ModelError(
                f"models.{self._spec.name}: image {image.image_id} comes out otherwise than the "
                "one that was voted on (another device, library or batch size makes another); "
                "nothing of it is replaced; put a copy of its file back, or go on without: the "
                "votes need it no more"
            )
        if png:
            write_bytes(image_file(self._images, image.image_id), png)
        given = (self._spec.width, self._spec.height)
        width, height = result.image.size if result.image else given
        record = Record(
            image_id=image.image_id,
            prompt=image.prompt,
            seed=image.seed,
            status=result.status,
            reason=result.reason,
            width=width,
            height=height,
            sha256=sha256,
            seconds=seconds,
            first_batch=first_batch,
            run=run,
            n_bytes=len(png),
            source_sha256=result.source_sha256,
        )
        write_record(self._images, record)
        return record


def _png(result: Rendered) -> bytes:
    """The image as a PNG file; nothing without an image."""
    if result.image is None:
        return b""
    png = io.BytesIO()
    result.image.save(png, "PNG", compress_level=_COMPRESSION)
    return png.getvalue()
