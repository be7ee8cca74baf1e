"""A Python function of the user's own that makes images, imported from the study folder."""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module, invalidate_caches
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evalkit.errors import ModelError, first_line
from evalkit.models import FunctionModel
from evalkit.pipelines.pipeline import OutOfMemoryError, Rendered, Request
from evalkit.pipelines.pixels import input_image, rendered, rgb
from evalkit.pipelines.versions import versions


class FunctionPipeline:
    """The function of one FunctionModel; a `Pipeline`."""

    timed = True

    def __init__(self, spec: FunctionModel, function: Callable[..., Any]) -> None:
        self._spec, self._function = spec, function
        self._where = f"models.{spec.name}: {spec.callable}"
        self.made_with: dict[str, Any] = {
            "pipeline": spec.callable,
            "source_sha256": _source_sha256(function),
            "versions": versions("numpy", "pillow", "torch", "diffusers", "transformers"),
        }

    def render(self, requests: Sequence[Request]) -> list[Rendered]:
        """One result per request, in order; ModelError where the function fails or errs."""
        if not requests:
            return []
        results = self._call(requests)
        if not isinstance(results, list | tuple) or len(results) != len(requests):
            found = type(results).__name__
            count = f" of {len(results)}" if isinstance(results, list | tuple) else ""
            raise ModelError(
                f"{self._where}: gave a {found}{count} for {len(requests)} prompts; allowed is a "
                "list with an image, or None, for each; correct the function"
            )
        return [
            self._result(request, result) for request, result in zip(requests, results, strict=True)
        ]

    def close(self) -> None:
        """Let the function go; what it holds is its own."""
        del self._function

    def _call(self, requests: Sequence[Request]) -> Any:
        arguments = dict(self._spec.arguments)
        if self._spec.input_images:
            arguments["input_images"] = [input_image(request, self._where) for request in requests]
        try:
            with _importable(self._spec.folder):
                return self._function(
                    [request.prompt for request in requests],
                    [request.seed for request in requests],
                    **arguments,
                )
        except (Exception, SystemExit) as error:  # the user's own code fails in its own ways
            if _is_out_of_memory(error):
                raise OutOfMemoryError(
                    f"{self._where}: out of memory with {len(requests)} images in one call; lower "
                    "the batch size"
                ) from error
            raise ModelError(
                f"{self._where}: failed ({first_line(error)}); correct the function"
            ) from error

    def _result(self, request: Request, result: Any) -> Rendered:
        if result is None:
            return Rendered("failed", reason=f"{self._spec.callable} gave None")
        where = f'{self._where}: the image of prompt "{request.prompt_id}", seed {request.seed}'
        if isinstance(result, np.ndarray):
            if result.dtype != np.uint8 or result.ndim != 3 or result.shape[2] != 3:
                raise ModelError(
                    f"{where}: is a {result.dtype} array of the shape {result.shape}; allowed is "
                    "uint8, height x width x 3; correct the function"
                )
            result = Image.fromarray(result)
        if not isinstance(result, Image.Image):
            raise ModelError(
                f"{where}: is a {type(result).__name__}; allowed is a PIL image, a uint8 array of "
                "height x width x 3, or None; correct the function"
            )
        return rendered(rgb(result, self._spec, where))


def load(spec: FunctionModel, device: str | None) -> FunctionPipeline:
    """Import the function; it chooses its own device. ModelError as `check`."""
    return FunctionPipeline(spec, _function(spec))


def check(spec: FunctionModel, requests: Sequence[Request]) -> None:
    """ModelError where the function cannot be imported, or called with the spec's arguments."""
    _function(spec)


def _function(spec: FunctionModel) -> Callable[..., Any]:
    module_name, _, name = spec.callable.partition(":")
    where = f'models.{spec.name}: callable = "{spec.callable}"'
    with _importable(spec.folder):
        invalidate_caches()  # the file may be newer than what Python remembers of its folder
        _refuse_namesake(module_name, where)
        try:
            module = import_module(module_name)
        except (Exception, SystemExit) as error:  # the user's own code runs as it is imported
            if isinstance(error, ModuleNotFoundError) and _is_part(error.name, module_name):
                raise ModelError(
                    f"{where}: no module {error.name} in {spec.folder}, in {Path.cwd()} or "
                    "installed; correct the name, or put the file there"
                ) from None
            raise ModelError(
                f"{where}: the module cannot be imported ({first_line(error)}); correct it"
            ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = "has no" if function is None else "cannot be called:"
        raise ModelError(f"{where}: {module_name} {found} {name}; name a function of it")
    _refuse_arguments(function, spec, where)
    return function


def _refuse_arguments(function: Callable[..., Any], spec: FunctionModel, where: str) -> None:
    extra = {"input_images": []} if spec.input_images else {}
    try:
        inspect.signature(function).bind([], [], **spec.arguments, **extra)
    except TypeError as error:
        raise ModelError(
            f"{where}: it cannot be called with prompts, seeds and the arguments of the study "
            f"({error}); correct arguments or input_images in study.toml, or the function"
        ) from None
    except ValueError:  # of a function in C, whose arguments only a call can tell
        return


def _refuse_namesake(module: str, where: str) -> None:
    """Python loads one module of a name: another study's must not stand in for this one's."""
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    found = _module_file(module)
    if loaded and found and found != loaded.origin:
        raise ModelError(
            f"{where}: {found} has the name of {loaded.origin}, which is loaded already; rename "
            "it, or run each study in a process of its own"
        )


def _module_file(module: str) -> str | None:
    """The file that would be loaded now; None where there is none."""
    spec, places = None, None
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:n]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    return spec.origin


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """With modules found in the study folder and where the command runs, before any others."""
    places = [str(folder.absolute()), str(Path.cwd())]
    before = list(sys.path)
    sys.path[:0] = places
    try:
        yield
    finally:
        sys.path[:] = before


def _is_part(missing: str | None, module: str) -> bool:
    return missing is not None and (module == missing or module.startswith(f"{missing}."))


def _is_out_of_memory(error: BaseException) -> bool:
    """Told by the name of the kind: torch's, without loading it for a function without it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return not kinds.isdisjoint({"MemoryError", "OutOfMemoryError"})


def _source_sha256(function: Callable[..., Any]) -> str | None:
    """The hash of the file that the function is written in; None where there is none."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:  # a class instance or a function in C
        return None
    return sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None
