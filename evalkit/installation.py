"""What is installed here: packages by extra, devices, disk, programs; and which command lacks what.

Nothing of it is imported: it answers at once, and where a package is broken too.
"""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.errors import EvalkitError, listed, nearest
from evalkit.models import ImportedModel
from evalkit.study import Study

CORE = "core"
EXTRAS = ("generate", "app", "metrics", "postgres", "ray", "remote")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "nginx")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*?(?:extra == ['\"](?P<extra>\w+)['\"])?$")
_GIB = 2**30
_SECONDS = 2  # that a driver may take to answer


@dataclass(frozen=True)
class Need:
    """What something cannot run without: extras of evalkit, and packages beside them."""

    extras: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def install(self) -> str:
        """The command that installs it."""
        extras = [f'"evalkit[{",".join(self.extras)}]"'] if self.extras else []
        return " ".join(["pip install", *extras, *self.packages])


COMMANDS = {  # all others run with the core
    "generate": Need(("generate",)),
    "bench": Need(("generate",)),
    "check": Need(("app",)),
    "serve": Need(("app",)),
    "dashboard": Need(("app",)),
    "screen": Need(("app",), ("playwright",)),
    "score": Need(("metrics",)),
    "demo": Need(("generate", "app")),
    "export --format datasets, preference or pickapic": Need(packages=("datasets",)),
}


@dataclass(frozen=True)
class Device:
    """Something to compute on; bytes are None where they are not known."""

    name: str
    free_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class Installation:
    """`packages`: extra -> package -> version, None where it is not installed.

    `lacking`: command -> the packages that it lacks; commands that can run are left out.
    """

    evalkit: str
    python: str
    packages: dict[str, dict[str, str | None]]
    devices: list[Device]
    free_disk_bytes: int
    programs: dict[str, str]
    lacking: dict[str, list[str]]

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def look(place: Path, study: Study | None = None) -> Installation:
    """What is installed on this machine; the disk is that of `place`.

    With a study, `lacking` says under "store" and "images" what its votes on a server and its
    images at an address need, and no command lacks what the study does without.
    """
    packages = _packages()
    lacking = {}
    for command, need in needs(study).items():
        wanted = {name: found for extra in need.extras for name, found in packages[extra].items()}
        wanted |= {name: _version(name) for name in need.packages}
        missing = [name for name, found in wanted.items() if found is None]
        if missing:
            lacking[command] = missing
    return Installation(
        evalkit=__version__,
        python=platform.python_version(),
        packages=packages,
        devices=_devices(),
        free_disk_bytes=shutil.disk_usage(_existing(place)).free,
        programs={name: path for name in PROGRAMS if (path := shutil.which(name))},
        lacking=lacking,
    )


def needs(study: Study | None) -> dict[str, Need]:
    """What each command needs; of a study also its votes ("store") and its images."""
    found = dict(COMMANDS)
    if study is None:
        return found
    if all(isinstance(model, ImportedModel) for model in study.models):
        del found["generate"], found["bench"]
    if study.store.startswith("postgresql://"):
        found["store"] = Need(("postgres",))
    if study.images.address is not None:
        found["images"] = Need(("remote",))
    return found


def require_known(command: str, known: list[str]) -> None:
    """EvalkitError where there is no such command."""
    if command not in known:
        raise EvalkitError(
            f'doctor: --for: unknown command "{command}"; allowed are {listed(known)}'
            f"{nearest(command, known)}"
        )


def require_command(found: Installation, command: str) -> None:
    """EvalkitError where a command lacks a package."""
    if command in found.lacking:
        raise EvalkitError(
            f"doctor: {command} needs {listed(found.lacking[command])}, not installed here; run: "
            f"{COMMANDS[command].install}"
        )


def _packages() -> dict[str, dict[str, str | None]]:
    try:
        wanted = requires("evalkit") or []
    except PackageNotFoundError:
        raise EvalkitError(
            "doctor: evalkit itself is not installed as a package, so what it needs is not known; "
            "run: pip install -e . in its folder"
        ) from None
    found: dict[str, dict[str, str | None]] = {extra: {} for extra in (CORE, *EXTRAS)}
    for line in wanted:
        parsed = _REQUIREMENT.match(line)
        if parsed and (extra := parsed["extra"] or CORE) in found:
            found[extra][parsed["name"]] = _version(parsed["name"])
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[Device]:
    """The GPUs as the driver tells them, then the processor."""
    cpu = Device(f"cpu, {os.cpu_count()} threads")
    program = shutil.which("nvidia-smi")
    if program is None:
        return [cpu]
    query = "--query-gpu=name,memory.free,memory.total"
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer offers none
        return [cpu]
    return [*read_gpus(done.stdout), cpu]


def read_gpus(text: str) -> list[Device]:
    """The GPUs in nvidia-smi's lines `name, free MiB, total MiB`."""
    rows = [line.rsplit(", ", 2) for line in text.splitlines() if line.count(", ") >= 2]
    return [
        Device(f"cuda:{number} {name}", _mib(free), _mib(total))
        for number, (name, free, total) in enumerate(rows)
    ]


def _mib(text: str) -> int | None:
    return int(text) * 2**20 if text.strip().isdigit() else None


def _existing(place: Path) -> Path:
    """The place itself or the nearest folder above it that is there."""
    place = place.resolve()
    return next(path for path in (place, *place.parents) if path.exists())


def gib(size: int | None) -> str:
    """Bytes as GiB; "-" where they are not known."""
    return "-" if size is None else f"{size / _GIB:,.1f} GiB"
