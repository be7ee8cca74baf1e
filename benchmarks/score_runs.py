"""One run of a contender of the CLIP score: `python -m benchmarks.score_runs TASK` prints JSON.

Each run is a process of its own, so that its peak memory is its own. All have the same weights (a
ViT-B-32 with random ones) and begin with PNG files; seconds are those after loading the model.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.clip_peer import peer
from evalkit import tables
from evalkit.files import file_sha256
from evalkit.study_folder import StudyFolder

ARCHITECTURE = "ViT-B-32"
BATCH = 32
MODELS, SEEDS = 4, 2  # images of a prompt: all models, all seeds
SIDE = 512  # px

_STUDY = """name = "scores"
seed = 0
[prompts]
source = "prompts.csv"
[images]
seeds = [0, 1]
{models}
[[questions]]
id = "quality"
text = "Which image is better?"
show_prompt = false
"""


def make_study(root: Path, n: int) -> StudyFolder:
    """A study of `n` images: smooth colours under a photograph's grain, no two alike."""
    names = [f"model-{number}" for number in range(MODELS)]
    rows, prompts = [], [f"p{number}" for number in range(n // (MODELS * SEEDS))]
    for number, prompt_id in enumerate(prompts):
        for place, model in enumerate(names):
            for seed in range(SEEDS):
                name = f"{model}/{prompt_id}-{seed}.png"
                _draw(root / "images" / name, number * 100 + place * 10 + seed)
                sha256 = file_sha256(root / "images" / name)
                rows.append((f"{model}-{prompt_id}-{seed}", prompt_id, model, seed, name, sha256))
    columns = ["image_id", "prompt_id", "model", "seed", "file_name", "sha256"]
    images = pd.DataFrame(rows, columns=columns)
    images = images.assign(width=SIDE, height=SIDE, seconds=0.1, status="ok")
    tables.write(images, root / "images.csv", tables.IMAGES)
    texts = [f"a photo of thing {number} beside a house" for number in range(len(prompts))]
    written = pd.DataFrame({"prompt_id": prompts, "prompt": texts, "category": "", "challenge": ""})
    tables.write(written, root / "prompts.csv", tables.PROMPTS)
    size = f"width = {SIDE}\nheight = {SIDE}"
    models = "\n".join(f'[models.{name}]\nimages = "{name}"\n{size}' for name in names)
    (root / "study.toml").write_text(_STUDY.format(models=models))
    return StudyFolder(root)


def make_weights(folder: Path) -> None:
    """A ViT-B-32 with random weights in open_clip's layout."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = open_clip.get_model_config(ARCHITECTURE)
    state = open_clip.CLIP(**config).state_dict()
    # Scores are above zero then, where torchmetrics cuts its mean off.
    state["text_projection"] = -state["text_projection"]
    folder.mkdir()
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        folder / "open_clip_model.safetensors",
    )
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    )


def run_evalkit(root: Path, weights: Path) -> dict[str, Any]:
    """`evalkit.scoring.score`: a table of scores; what was known before is not computed."""
    from evalkit.scoring import score
    from evalkit.scoring.worker import Job

    load, spent = Job.load, [0.0]

    def timed(job: Job) -> Any:
        started = time.perf_counter()
        metric = load(job)
        spent[0] += time.perf_counter() - started
        return metric

    Job.load = timed
    started = time.perf_counter()
    scores = score(StudyFolder(root), weights=str(weights))
    seconds = time.perf_counter() - started - spent[0]
    return {"seconds": seconds, "load": spent[0], "mean": float(scores["score"].mean())}


def run_batches(root: Path, weights: Path) -> dict[str, Any]:
    """torchmetrics as its documentation calls it, `metric(images, prompts)`: means of batches."""
    return _run_peer(root, weights, BATCH, lambda metric, *batch: metric(*batch))


def run_updates(root: Path, weights: Path) -> dict[str, Any]:
    """torchmetrics' `update` in batches, which computes each once: one mean of all."""
    return _run_peer(root, weights, BATCH, lambda metric, *batch: metric.update(*batch))


def run_singly(root: Path, weights: Path) -> dict[str, Any]:
    """torchmetrics called per image, as a table of scores needs it."""
    return _run_peer(root, weights, 1, lambda metric, *batch: metric(*batch))


CONTENDERS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "evalkit": run_evalkit,
    "again": run_evalkit,
    "batches": run_batches,
    "updates": run_updates,
    "singly": run_singly,
}


def _run_peer(root: Path, weights: Path, size: int, call: Callable[..., Any]) -> dict[str, Any]:
    import open_clip
    from safetensors.torch import load_file
    from torchvision.transforms.functional import pil_to_tensor

    started = time.perf_counter()
    config = open_clip.get_model_config(ARCHITECTURE)
    state = load_file(weights / "open_clip_model.safetensors")
    metric = peer(config, state, open_clip.get_tokenizer(ARCHITECTURE))
    load = time.perf_counter() - started
    folder = StudyFolder(root)
    rows = folder.read_images().merge(folder.read_prompts(), on="prompt_id")
    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(rows), size):
            part = rows.iloc[start : start + size]
            images = []
            for name in part["file_name"]:
                with Image.open(folder.images / name) as image:
                    images.append(pil_to_tensor(image.convert("RGB")))
            call(metric, images, part["prompt"].tolist())
        mean = metric.compute().item()
    return {"seconds": time.perf_counter() - started, "load": load, "mean": mean}


def _draw(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = rng.normal(0, 4, smooth.shape).astype(np.int16)
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, compress_level=1)


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    found = CONTENDERS[task["name"]](Path(task["root"]), Path(task["weights"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "peak": peak}))
