"""A command that writes one image at a time, run without a shell in the study folder."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evalkit.errors import ModelError
from evalkit.models import CommandModel
from evalkit.models.kinds import PLACEHOLDER
from evalkit.pipelines.pipeline import Rendered, Request
from evalkit.pipelines.pixels import read_image, rendered
from evalkit.pipelines.versions import versions


class CommandPipeline:
    """The command of one CommandModel; a `Pipeline`."""

    timed = True

    def __init__(self, spec: CommandModel) -> None:
        self._spec = spec
        self.made_with: dict[str, Any] = {
            "pipeline": spec.command[0],
            "versions": versions("pillow"),
        }

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order; ModelError where the command makes no image."""
        return [self._render(request) for request in requests]

    def close(self) -> None:
        """Nothing is held."""

    def _render(self, request: Request) -> Rendered:
        where = (
            f'models.{self._spec.name}: {self._spec.command[0]} for prompt "{request.prompt_id}", '
            f"seed {request.seed}"
        )
        with TemporaryDirectory(prefix="evalkit-") as folder:
            file = Path(folder) / "image.png"
            words = _filled(self._spec, request, file)
            try:
                done = subprocess.run(
                    words,
                    cwd=self._spec.folder,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                )
            except OSError as error:
                raise ModelError(
                    f"{where}: cannot be started ({error.strerror}); correct the command"
                ) from None
            said = _last_line(done.stderr)
            if done.returncode != 0:
                raise ModelError(
                    f"{where}: ended with exit code {done.returncode}{said}; mend it and run again"
                )
            if not file.is_file():
                raise ModelError(
                    f"{where}: wrote no file{said}; it has to write the image to {{file}}"
                )
            return rendered(read_image(file, self._spec, f"{where}{said}: its file"))


def load(spec: CommandModel, device: str | None) -> CommandPipeline:
    """Nothing is loaded; the command chooses its own device. ModelError as `check`."""
    check(spec, [])
    return CommandPipeline(spec)


def check(spec: CommandModel, requests: Sequence[Request]) -> None:
    """ModelError where there is no such program: in the study folder, or on the PATH."""
    program = spec.command[0]
    place = str(spec.folder / program) if "/" in program else program
    if shutil.which(place) is None:
        raise ModelError(
            f'models.{spec.name}: command: no program "{program}" on the PATH; a path, as '
            f"./{program.rpartition('/')[2]}, is looked up from the study folder; correct it in "
            "study.toml, or make the file executable"
        )


def _filled(spec: CommandModel, request: Request, file: Path) -> list[str]:
    """The words with what they ask for; a prompt that has a placeholder in it stays as it is."""
    values = {
        "prompt": request.prompt,
        "seed": request.seed,
        "width": spec.width,
        "height": spec.height,
        "file": file,
        "input_image": request.input_image,
    }
    return [PLACEHOLDER.sub(lambda found: str(values[found[1]]), word) for word in spec.command]


def _last_line(stderr: bytes) -> str:
    """` (the last line)` of what was written to stderr, at most 200 characters; or nothing."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    said = [re.sub(r"[\x00-\x1f\x7f]", " ", line) for line in lines if line]
    return f" ({said[-1][-200:]})" if said else ""
