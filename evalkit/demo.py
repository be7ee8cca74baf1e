"""The demo: the whole chain on the built-in models, with simulated votes; then vote yourself."""

import secrets
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from evalkit import generation, tables
from evalkit.collection import invite, open_collection
from evalkit.errors import StudyError
from evalkit.files import write_json, write_text
from evalkit.presets import init_study, preset_text
from evalkit.progress import progress_bar
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.scoring import score
from evalkit.simulate import Population, plant
from evalkit.simulated_sessions import simulate_sessions
from evalkit.study_folder import StudyFolder, open_study
from evalkit.wording import win_rate_lines

SEED = 20231128
QUALITY = {"scenes-base": 0.6, "scenes-lcm": -0.6, "scenes-turbo": 0.2}  # log-odds, made up
ALIGNMENT_SLOPE = 4.0  # log-odds for an image with every attribute right, against none
ALIGNMENT_SD = 0.4
POPULATION = Population(
    prompt_sd=0.8, annotator_sd=0.4, tie_weight=0.35, careless_share=0.02, seconds_per_vote=2.8
)
OWN_DESIGN = {  # for one voter: lines of the preset, and what stands there instead
    "votes_per_pair = 4": "votes_per_pair = 1",
    "trials_per_annotator = 60": "trials_per_annotator = 24",
}

console = Console(highlight=False, soft_wrap=True)


def run_demo(path: Path, now: str, interactive: bool, port: int) -> None:
    """Make the study at `path` (or go on with it), simulate its votes, write its report.

    With `interactive`, serve the same images on `port` afterwards so that the reader can vote.
    Raises StudyError where the folder holds a study that is not the demo's.
    """
    folder = _open_demo(path)
    console.print(f"1. Study: {path / 'study.toml'}")
    _generate(folder)
    _score(folder)
    _vote(folder, now)
    results = analyze_study(folder)
    console.print("\n".join(f"   {line}" for line in win_rate_lines(results["win_rates"])))
    page = write_report(folder, now=now)
    console.print(f"5. Report ({tables.SIMULATED}): {page}")
    if interactive:
        vote_yourself(folder, now, port)


def vote_yourself(demo: StudyFolder, now: str, port: int) -> None:
    """Serve the demo's images as a study of the reader's own, until Ctrl-C; then report on it."""
    from study_app.workers import serve

    own = _own_study(demo)
    store = open_collection(own, now=now)
    [link] = invite(own, 1, now=now, url=f"http://localhost:{port}")
    console.print(f"6. Your turn: vote at {link}\n   Ctrl-C here ends it and writes your report.")
    serve(own.store_address, own.blinded, own.received, port=port)
    votes = store.votes()
    if votes.empty:
        console.print("   No votes, so no report.")
        return
    analyze_study(own, early_at=votes["created_at"].max())  # one voter is soon done, a study not
    console.print(f"7. Report of your votes: {write_report(own, now=now, early=True)}")


def _open_demo(path: Path) -> StudyFolder:
    if not path.exists():
        init_study(path, "scenes")
        write_json(path / "simulation.json", _stated())
    folder = open_study(path)
    if not folder.simulation_file.is_file():
        raise StudyError(
            f"{path}: holds a study that is not the demo's, and no simulated vote may go into it; "
            "give the demo a folder that does not exist yet"
        )
    return folder


def _generate(folder: StudyFolder) -> None:
    with progress_bar("images") as progress:
        images = generation.generate(folder, progress=progress)
    console.print(f"2. Images: {len(images)} in {folder.images}")


def _score(folder: StudyFolder) -> None:
    for metric in ("clip_score", "scene_attributes"):
        with progress_bar("images") as progress:
            score(folder, metric=metric, progress=progress)
    console.print(f"3. Scores: {folder.scores}")


def _vote(folder: StudyFolder, now: str) -> None:
    store = open_collection(folder, now=now)
    with progress_bar("votes") as progress:
        simulate_sessions(
            folder, store, _utilities(folder), POPULATION, SEED, now,
            on_votes=lambda done: progress(done, done, "votes"),
        )  # fmt: skip
    cast = store.annotators()["n_votes"]
    console.print(f"4. {tables.SIMULATED}: {cast.sum()} by {(cast > 0).sum()} simulated annotators")


def _utilities(folder: StudyFolder) -> dict[tuple[str, str], float]:
    """Log-odds per question and image: quality from stated strengths, alignment from the reading
    of the attribute classifier, with noise of its own."""
    rng = np.random.default_rng(SEED)
    images = folder.read_images()
    utilities = plant({"quality": QUALITY}, images, POPULATION.prompt_sd, SEED)
    readings = tables.read(folder.scores / "scene_attributes.csv", tables.SCORES)
    reading = pd.Series(readings["score"].to_numpy(), index=readings["image_id"])
    for image_id in images["image_id"]:
        alignment = ALIGNMENT_SLOPE * reading[image_id] + rng.normal(0, ALIGNMENT_SD)
        utilities["alignment", image_id] = float(alignment)
    return utilities


def _stated() -> dict[str, str]:
    strengths = ", ".join(f"{model} {value:+}" for model, value in QUALITY.items())
    return {
        "votes": f"{tables.SIMULATED}: no person voted here",
        "quality": (
            f"made-up strengths in log-odds ({strengths}), gaps +- {POPULATION.prompt_sd} over "
            "prompts (sd)"
        ),
        "alignment": (
            f"the share of the prompt's attributes that the attribute classifier reads in the "
            f"image, times {ALIGNMENT_SLOPE} log-odds, +- {ALIGNMENT_SD} (sd)"
        ),
        "annotators": (
            f"own taste, gaps +- {POPULATION.annotator_sd} over annotators (sd of log-odds), "
            f"Davidson's nu {POPULATION.tie_weight}, {POPULATION.careless_share:.0%} of votes "
            "without looking"
        ),
    }


def _own_study(demo: StudyFolder) -> StudyFolder:
    """A new study beside the demo's with its prompts and images, for one voter."""
    root = demo.root.parent / f"{demo.root.name}-yours-{secrets.token_hex(3)}"
    text = preset_text("scenes").replace("{name}", root.name)
    for line, other in OWN_DESIGN.items():
        assert text.count(line) == 1, f"the preset has no line {line}"
        text = text.replace(line, other)
    write_text(root / "study.toml", text)
    shutil.copytree(demo.images, root / "images")
    for file in (demo.prompts_file, demo.images_file, demo.manifest_file):
        shutil.copy2(file, root / file.name)
    if demo.scores.is_dir():
        shutil.copytree(demo.scores, root / "scores")
    return open_study(root)
