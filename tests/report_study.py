"""A small analysed study on disk, for the tests of the report: votes drawn from known strengths."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from evalkit import tables
from evalkit.analysis import mean_scores, median_speeds, summary
from evalkit.analysis.annotators import annotator_table_of, flags
from evalkit.files import write_json, write_text
from evalkit.lock import write_lock
from evalkit.result_tables import Options
from evalkit.result_tables.estimates import estimates, labelled, table_of
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
MODELS
[[questions]]
id = "quality"
text = "Which image looks better made & <b>cleaner</b>?"
show_prompt = false
[[questions]]
id = "alignment"
text = "Which image shows the description better?"
show_prompt = true
"""


def write_study(
    root: Path,
    *,
    simulated: bool,
    n_prompts: int = 12,
    votes: int = 3,
    models: dict[str, str] | None = None,
    categories: tuple[str, ...] = ("houses",),
) -> StudyFolder:
    """Prompts, images, pairs, votes and result tables of a study, as the commands write them.

    `models` gives each model, by its name in the study, one of `MODELS` that it is as good as.
    """
    folder = StudyFolder(root)
    models = models or dict(zip(MODELS, MODELS, strict=True))
    named = "".join(f'[models.{name}]\ncatalogue = "{alike}"\n' for name, alike in models.items())
    write_text(root / "study.toml", STUDY.replace("MODELS\n", named))
    texts = [f"{n} {ATTACK if n % 2 else 'houses by the sea'}" for n in range(n_prompts)]
    prompts = pd.DataFrame({"prompt_id": [f"p{i:02d}" for i in range(n_prompts)], "prompt": texts})
    categories = (categories * n_prompts)[:n_prompts]
    prompts = prompts.assign(category=categories, challenge="")
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    images = _write_images(folder, prompts, models)
    pairs = _write_pairs(folder, prompts, sorted(models))
    comparisons = _comparisons(prompts, pairs, votes, models)
    comparisons = tables.label_simulated(comparisons, simulated)
    write_results(folder, comparisons, images)
    made = {"images": {"ok": 24}, "runs": [{"device": "cpu", "versions": {"torch": "2.0"}}]}
    manifest = {
        "notes": {"noise": "one generator per image"},
        "models": dict.fromkeys(models, made),
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
    scores = _scores(images)
    tables.write(scores, folder.scores / "clip_score.csv", tables.SCORES)
    slices = ["category"] if comparisons["category"].nunique() > 1 else []
    people = annotator_table_of(comparisons)
    beside = {
        "comparisons": comparisons,
        "annotators": people.assign(
            attention_passed=3, attention_n=4, flags=flags(people), excluded_by=""
        ),
        "scores": mean_scores(scores),
        "speed": median_speeds(images),
    }
    results = estimates(comparisons, Options(), slices)
    for name, frame in (results | labelled(beside, tables.is_simulated(comparisons))).items():
        tables.write(frame, folder.analysis / f"{name}.csv", table_of(name))
    attention = pd.DataFrame({"trial_id": ["x1", "x2"], "passed": [True, False]})
    n = len(comparisons)
    planned = {"planned_votes": {"given": n, "planned": n, "early_looks": []}}
    write_json(folder.analysis / "summary.json", summary(comparisons, attention) | planned)


def write_metric_tables(folder: StudyFolder) -> None:
    """Tables of metrics against people and of paired differences, with numbers made up."""
    simulated = tables.is_simulated(tables.read(folder.analysis / "ratings.csv", tables.RATINGS))
    metric = {"metric": "clip_score", "weights": "scenes-clip", "method": "made up"}
    asked = metric | {"question_id": "quality", "n": 90, "n_prompts": 12, "n_annotators": 8}
    pair = {"model_a": MODELS[0], "model_b": MODELS[1]}
    sure = {"ci_low": 0.51, "ci_high": 0.69}
    nothing = {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "method": "no votes; bare"}
    for name, rows in {
        "metric_agreement": [
            asked | sure | {"measure": "accuracy", "estimate": 0.6125},
            asked | {"measure": "auc"} | nothing,
        ],
        "metric_bins": [
            asked | sure | {"bin": 1, "difference_low": 0.25, "difference_high": 2.5,
                            "accuracy": 0.5875},
        ],
        "metric_differences": [
            metric | pair | sure | {"question_id": "", "mean_difference": 0.6, "p_value": 0.01,
                                    "p_holm": 0.02, "p_sign": 0.03, "n": 24, "n_prompts": 12},
        ],
        "disagreements": [
            asked | pair | {"place": 1, "pair_id": "pair", "prompt_id": "p01", "seed": 0,
                            "share_a": 0.25, "expected_a": 0.875, "n": 4, "score_a": 31.5,
                            "score_b": 28.25, "method": "made up"},
        ],
    }.items():  # fmt: skip
        table = getattr(tables, name.upper())
        columns = [column for column in table.names if column in rows[0]]
        frame = tables.label_simulated(pd.DataFrame(rows)[columns], simulated)
        tables.write(frame, folder.analysis / f"{name}.csv", table)


def _write_images(
    folder: StudyFolder, prompts: pd.DataFrame, models: dict[str, str]
) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for model, alike in models.items():
        (folder.images / model).mkdir(parents=True)
        for prompt_id in prompts["prompt_id"]:
            for seed in SEEDS:
                name = f"{model}/{prompt_id}-{seed}.png"
                colour = tuple(int(value) for value in rng.integers(0, 256, 3))
                image = Image.new("RGB", (96, 96), colour)
                ImageDraw.Draw(image).ellipse((20, 20, 76, 76), fill=colour[::-1])
                image.save(folder.images / name)
                seconds = SECONDS[alike] * rng.uniform(0.9, 1.2)
                rows.append((f"{model}-{prompt_id}-{seed}", prompt_id, model, seed, name, seconds))
    names = ["image_id", "prompt_id", "model", "seed", "file_name", "seconds"]
    images = pd.DataFrame(rows, columns=names).assign(width=96, height=96, sha256="", status="ok")
    tables.write(images, folder.images_file, tables.IMAGES)
    return images


def _write_pairs(folder: StudyFolder, prompts: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    rows = [
        (f"{a}-{b}-{prompt_id}-{seed}", prompt_id, seed, a, b,
         f"{a}-{prompt_id}-{seed}", f"{b}-{prompt_id}-{seed}")
        for a, b in combinations(models, 2)
        for prompt_id in prompts["prompt_id"]
        for seed in SEEDS
    ]  # fmt: skip
    pairs = pd.DataFrame(rows, columns=tables.PAIRS.names)
    tables.write(pairs, folder.pairs_file, tables.PAIRS)
    return pairs


def _comparisons(
    prompts: pd.DataFrame, pairs: pd.DataFrame, votes: int, models: dict[str, str]
) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for question_id, strength in STRENGTH.items():
        for pair in pairs.to_dict("records"):
            a, b = (strength[models[pair[f"model_{side}"]]] for side in "ab")
            gap = a - b + rng.normal(0, 0.5)
            for annotator in rng.permutation(8)[:votes]:
                a_wins = rng.random() < 1 / (1 + np.exp(-gap))
                winner = "tie" if rng.random() < 0.12 else ("model_a" if a_wins else "model_b")
                left = pair["model_a"] if rng.random() < 0.5 else pair["model_b"]
                rows.append(
                    pair | {"question_id": question_id, "annotator_id": f"person-{annotator}",
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
