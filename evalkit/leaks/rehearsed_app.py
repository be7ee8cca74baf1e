"""The app itself, started on a temporary copy of the plan: the study's votes are never touched."""

import importlib.util
import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from evalkit.errors import EvalkitError, StudyError
from evalkit.store import create_store
from evalkit.study import Study
from evalkit.study_folder import StudyFolder

APP = (sys.executable, "-m", "study_app")
_SECONDS = 60  # for the app to listen
_LEAST = 24  # trials of the scripted session in all, where there are one or two questions
_LEAST_PER_QUESTION = 6
_PER_MODEL = 10  # trials, so that 20 images of each model are shown: `timing.ENOUGH`
_MOST = 120  # or it would take longer than half a minute
_SHOWN = ("main", "example")  # roles of pairs without practice and checks
_SHARE = 0.1  # so that the session meets a check and a repeat


@contextmanager
def rehearsed_app(
    folder: StudyFolder,
    stored: pd.DataFrame,
    now: str,
    command: Sequence[str] = APP,
    main_only: bool = False,
) -> Iterator[tuple[int, str]]:
    """The port on loopback and a token, while the app serves this plan from a database of its own.

    The plan is that of `stored` (`tables.BLINDED_PAIRS`), shortened to a session of seconds, with
    `main_only` one without practice and attention checks; the public images are the study's. Raises
    EvalkitError where the app is not installed, StudyError where it does not start.
    """
    package = _app_package()
    with tempfile.TemporaryDirectory(prefix="evalkit-check-") as name:
        place = Path(name)
        token = secrets.token_urlsafe(16)
        study = _shortened(folder.study)
        if main_only:
            study, stored = _main_only(study, stored)
        _prepare_store(place / "votes.sqlite", study, stored, token, now)
        arguments = {
            "--store": place / "votes.sqlite",
            "--blinded": folder.blinded.absolute(),
            "--journal": place / "received",
            "--port": 0,
            "--host": "127.0.0.1",
            "--parent": os.getpid(),
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        known = os.environ.get("PYTHONPATH", "")
        process = subprocess.Popen(
            [*command, *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, known]))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield _port(process), token
        finally:
            process.kill()
            process.wait()


def _prepare_store(path: Path, study: Study, stored: pd.DataFrame, token: str, now: str) -> None:
    store = create_store(path, study, stored)
    try:
        store.add_annotator(secrets.token_hex(8), token, now)
    finally:
        store.close()


def _shortened(study: Study) -> Study:
    """A session of all parts and kinds of trials with enough images of each, without waits."""
    n = len(study.questions)
    design = study.design
    shares = {
        name: max(_SHARE, getattr(design, name))
        for name in ("attention_share", "repeat_share")
        if getattr(design, name) > 0
    }
    wanted = max(_LEAST, _LEAST_PER_QUESTION * n, min(_MOST, _PER_MODEL * len(study.models)))
    length = min(design.trials_per_annotator, wanted)
    short = {**shares, "trials_per_annotator": length, "min_viewing_ms": 0}
    return study.model_copy(update={"design": design.model_copy(update=short)})


def _main_only(study: Study, stored: pd.DataFrame) -> tuple[Study, pd.DataFrame]:
    """The study and its pairs without practice and attention checks."""
    design = study.design.model_copy(update={"practice_trials": 0, "attention_share": 0.0})
    return study.model_copy(update={"design": design}), stored[stored["role"].isin(_SHOWN)]


def _app_package() -> str:
    """The folder that study_app lies in."""
    for needed in ("study_app", "streamlit", "uvicorn", "websockets"):
        if importlib.util.find_spec(needed) is None:
            raise EvalkitError(
                f"check: the scripted session needs {needed}, which is not installed; run: "
                'pip install "evalkit[app]"'
            )
    return str(Path(importlib.util.find_spec("study_app").origin).parents[1])


def _port(process: subprocess.Popen) -> int:
    """The port that the app says it listens on; the rest of what it prints is read and dropped."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:  # until its end: a full pipe would stop the app
        with process.stdout:
            for line in process.stdout:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    said = []
    try:
        while (line := lines.get(timeout=_SECONDS)) != "":
            said.append(line.strip())
            if line.startswith("Annotators vote at "):
                return int(line.split()[3].rpartition(":")[2])
    except queue.Empty:
        said.append(f"nothing for {_SECONDS} s")
    raise StudyError(
        f"the app that the leak check started does not listen ({' '.join(said[-3:])}); mend that, "
        "then run evalkit check again"
    )
