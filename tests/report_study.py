"""A small analysed study on disk, for the tests of the report: votes drawn from known strengths."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from evalkit import tables
from evalkit.analysis import mean_scores, median_speeds, ratings, summary, win_rates
from evalkit.files import write_json, write_text
from evalkit.lock import write_lock
from evalkit.study_folder import StudyFolder

MODELS = ("scenes-base", "scenes-lcm", "scenes-turbo")
STRENGTH = {
    "quality": {"scenes-base": 0.5, "scenes-lcm": -0.7, "scenes-turbo": 0.3},
    "alignment": {"scenes-base": 0.5, "scenes-lcm": -0.3, "scenes-turbo": 0.1},
}
SECONDS = {"scenes-base": 0.21, "scenes-lcm": 0.036, "scenes-turbo": 0.015}
ATTACK = '<script>alert("x")</script> a red circle & a "blue" star'
SEEDS = (0, 1)
STUDY = """
name = "scenes-study"
seed = 7
[prompts]
source = "scenes"
[images]
seeds = [0, 1]
viewing_size = 480
[models.scenes-base]
[models.scenes-lcm]
[models.scenes-turbo]
[[questions]]
id = "quality"
text = "Which image looks better made & <b>cleaner</b>?"
show_prompt = false
[[questions]]
id = "alignment"
text = "Which image shows the description better?"
show_prompt = true
"""


def write_study(root: Path, *, simulated: bool, n_prompts: int = 12, votes: int = 3) -> StudyFolder:
    """Prompts, images, pairs, votes and result tables of a study, as the commands write them."""
    folder = StudyFolder(root)
    write_text(root / "study.toml", STUDY)
    texts = [f"{n} {ATTACK if n % 2 else 'houses by the sea'}" for n in range(n_prompts)]
    prompts = pd.DataFrame({"prompt_id": [f"p{i:02d}" for i in range(n_prompts)], "prompt": texts})
    prompts = prompts.assign(category="houses", challenge="")
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    images = _write_images(folder, prompts)
    pairs = _write_pairs(folder, prompts)
    comparisons = _comparisons(prompts, pairs, votes)
    comparisons = tables.label_simulated(comparisons, simulated)
    write_results(folder, comparisons, images)
    made = {"images": {"ok": 24}, "runs": [{"device": "cpu", "versions": {"torch": "2.0"}}]}
    manifest = {
        "notes": {"noise": "one generator per image"},
        "models": dict.fromkeys(MODELS, made),
    }
    write_json(folder.manifest_file, manifest)
    dropped = {"duplicate": 2, "blank": 0, "over_long": 1}
    cut = {"limit_tokens": 77, "over_long": [{"prompt_id": "p03", "tokens": 80}]}
    record = {
        "source": {"rows": n_prompts + 3, "kept": n_prompts, "dropped": dropped},
        "models": {MODELS[0]: cut, MODELS[1]: {"limit_tokens": 256, "over_long": []}},
    }
    write_json(folder.prompts_record, record)
    write_lock(folder, "2025-01-01T00:00:00.000+00:00")
    return folder


def write_results(folder: StudyFolder, comparisons: pd.DataFrame, images: pd.DataFrame) -> None:
    """The result tables of these comparisons."""
    simulated = tables.is_simulated(comparisons)
    scores = _scores(images)
    tables.write(scores, folder.scores / "clip_score.csv", tables.SCORES)
    for name, frame, table in [
        ("comparisons", comparisons, tables.COMPARISONS),
        ("win_rates", win_rates(comparisons), tables.WIN_RATES),
        ("ratings", ratings(comparisons), tables.RATINGS),
        ("scores", mean_scores(scores), tables.MEAN_SCORES),
        ("speed", median_speeds(images), tables.SPEED),
    ]:
        labelled = tables.label_simulated(frame, simulated)
        tables.write(labelled, folder.analysis / f"{name}.csv", table)
    attention = pd.DataFrame({"trial_id": ["x1", "x2"], "passed": [True, False]})
    n = len(comparisons)
    planned = {"planned_votes": {"given": n, "planned": n, "early_looks": []}}
    write_json(folder.analysis / "summary.json", summary(comparisons, attention) | planned)


def _write_images(folder: StudyFolder, prompts: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for model in MODELS:
        (folder.images / model).mkdir(parents=True)
        for prompt_id in prompts["prompt_id"]:
            for seed in SEEDS:
                name = f"{model}/{prompt_id}-{seed}.png"
                colour = tuple(int(value) for value in rng.integers(0, 256, 3))
                image = Image.new("RGB", (96, 96), colour)
                ImageDraw.Draw(image).ellipse((20, 20, 76, 76), fill=colour[::-1])
                image.save(folder.images / name)
                seconds = SECONDS[model] * rng.uniform(0.9, 1.2)
                rows.append((f"{model}-{prompt_id}-{seed}", prompt_id, model, seed, name, seconds))
    names = ["image_id", "prompt_id", "model", "seed", "file_name", "seconds"]
    images = pd.DataFrame(rows, columns=names).assign(width=96, height=96, sha256="", status="ok")
    tables.write(images, folder.images_file, tables.IMAGES)
    return images


def _write_pairs(folder: StudyFolder, prompts: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (f"{a}-{b}-{prompt_id}-{seed}", prompt_id, seed, a, b,
         f"{a}-{prompt_id}-{seed}", f"{b}-{prompt_id}-{seed}")
        for a, b in [MODELS[:2], MODELS[::2], MODELS[1:]]
        for prompt_id in prompts["prompt_id"]
        for seed in SEEDS
    ]  # fmt: skip
    pairs = pd.DataFrame(rows, columns=tables.PAIRS.names)
    tables.write(pairs, folder.pairs_file, tables.PAIRS)
    return pairs


def _comparisons(prompts: pd.DataFrame, pairs: pd.DataFrame, votes: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for question_id, strength in STRENGTH.items():
        for pair in pairs.to_dict("records"):
            gap = strength[pair["model_a"]] - strength[pair["model_b"]] + rng.normal(0, 0.5)
            for annotator in rng.permutation(8)[:votes]:
                a_wins = rng.random() < 1 / (1 + np.exp(-gap))
                winner = "tie" if rng.random() < 0.12 else ("model_a" if a_wins else "model_b")
                left = pair["model_a"] if rng.random() < 0.5 else pair["model_b"]
                rows.append(
                    pair | {"question_id": question_id, "annotator_id": f"a{annotator}",
                            "winner": winner, "left_model": left}
                )  # fmt: skip
    frame = pd.DataFrame(rows).merge(prompts[["prompt_id", "category", "challenge"]])
    frame["trial_id"] = [f"t{i}" for i in range(len(frame))]
    return frame.assign(
        session_id="s", kind="main", response_ms=2000, created_at="2025-01-01T00:00:00Z"
    )


def _scores(images: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return images[["image_id", "prompt_id", "model", "seed"]].assign(
        metric="clip_score",
        score=rng.normal(30, 2, len(images)),
        weights="scenes-clip",
        truncated=False,
    )
