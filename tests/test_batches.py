"""The size of a batch: from the free memory, halved where that runs out; images stay the same."""

import json
import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.generation import generate
from evalkit.generation.batch_size import default_batch_size
from evalkit.generation.batches import Wanted, batches
from evalkit.models import resolve
from tests import miniatures
from tests import strokes as functions
from tests.generated import hashes, strokes, without_times
from tests.miniatures import small, study_file

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("size", "expected"), [(96, 16), (512, 8), (768, 3), (1024, 2), (2048, 1), (4096, 1)]
)
def test_on_a_cpu_large_images_come_in_small_batches(size, expected):
    spec = resolve("m", {"catalogue": "sdxl", "width": size, "height": size}, "")
    assert default_batch_size(spec, None) == expected


def test_a_command_is_called_once_per_image():
    spec = resolve(
        "m", {"command": ["draw", "{prompt}", "{seed}", "{file}"], "width": 64, "height": 64}, ""
    )
    assert default_batch_size(spec, None) == 1


@pytest.mark.parametrize(
    ("size", "vae", "gib", "expected"),
    [  # by hand: .9 of the memory over 1536 values a pixel, then down to a power of two
        (512, "", 15, 8),  # 1.5 GiB each: 9
        (512, "bfloat16", 15, 16),  # .75 GiB each: 18
        (1024, "", 15, 2),  # 6 GiB each: 2.25
        (1024, "", 2, 1),  # none fits: one is tried
        (512, "", 130, 32),  # 78, capped
    ],
)
def test_on_a_gpu_a_batch_fills_the_free_memory(size, vae, gib, expected):
    table = {"catalogue": "sdxl", "width": size, "height": size, "vae_precision": vae}
    spec = resolve("m", table, "")
    assert default_batch_size(spec, gib * 2**30) == expected


PLAN = [(f"p{prompt}", seed) for prompt in range(4) for seed in range(3)]  # 4 prompts, 3 seeds


def cut(catalogue, size, missing):
    """Batches as words such as p0:012, which has three seeds of p0."""
    spec = resolve("m", catalogue, "")
    images = [
        Wanted(f"{prompt}/{seed}", prompt, "", "", seed, "", (prompt, seed) not in missing)
        for prompt, seed in PLAN
    ]
    return [
        " ".join(
            f"{prompt}:{''.join(str(image.seed) for image in own)}"
            for prompt, own in groupby(batch, key=lambda image: image.prompt_id)
        )
        for batch in batches(spec, iter(images), size)
    ]


CHECKPOINT = {"catalogue": "sdxl"}
FUNCTION = {"callable": "m:f", "width": 64, "height": 64}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (12, ["p0:012 p1:012 p2:012 p3:012"]),
        (8, ["p0:012 p1:012", "p2:012 p3:012"]),  # 8 // 3 = 2 prompts
        (4, ["p0:012", "p1:012", "p2:012", "p3:012"]),
        (2, ["p0:01", "p0:2", "p1:01", "p1:2", "p2:01", "p2:2", "p3:01", "p3:2"]),
        (1, [f"{prompt}:{seed}" for prompt, seed in PLAN]),
    ],
)
def test_no_prompt_shares_a_batch_with_a_part_of_another(size, expected):
    assert cut(CHECKPOINT, size, PLAN) == expected


def test_a_batch_that_lacks_an_image_is_made_as_it_was_and_no_other():
    missing = [("p1", 2), ("p3", 0)]
    assert cut(CHECKPOINT, 4, missing) == ["p1:012", "p3:012"]
    assert cut(CHECKPOINT, 2, missing) == ["p1:2", "p3:01"]
    assert cut(CHECKPOINT, 8, missing[:1]) == ["p0:012 p1:012"]
    assert cut(CHECKPOINT, 8, []) == []


def test_a_function_is_not_called_again_for_what_is_there():
    assert cut(FUNCTION, 4, PLAN) == ["p0:012 p1:0", "p1:12 p2:01", "p2:2 p3:012"]
    assert cut(FUNCTION, 4, [("p1", 2), ("p3", 0)]) == ["p1:2 p3:0"]


def test_a_run_that_goes_on_takes_the_batches_of_the_images_that_are_there(made, tmp_path):
    """So that the same images share a call; with the option, the user decides."""
    prompts = tuple(f"thing {i}" for i in range(7))
    folder = study_file(
        tmp_path / "study", {"mini": small("sd-turbo", made["sd_turbo"]), "light": strokes()},
        prompts=prompts, seeds=(0,),
    )  # fmt: skip
    first = generate(folder, batch_size=3)
    sizes = []
    for options in ({}, {"batch_size": 2}):
        (folder.images / first["file_name"].iloc[4]).unlink()
        images = generate(folder, **options)
        runs = json.loads(folder.manifest_file.read_text())["models"]["mini"]["runs"]
        sizes.append({run["batch_size"]: run["images"]["ok"] for run in runs})
    assert sizes == [{3: 7}, {3: 6, 2: 1}]
    assert len(images) == 14


def study(root, models):
    return study_file(root, models, prompts=tuple(f"thing {i}" for i in range(11)), seeds=(0,))


def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path):
    """8 and 4 do not fit, 2 do: 8 is not tried again, and the images are those of a large GPU."""
    whole = study(tmp_path / "whole", {"a": strokes(), "b": strokes(shade=1)})
    generate(whole)
    folder = study(tmp_path / "study", {"a": strokes("hungry", most=3), "b": strokes(shade=1)})
    functions.CALLS.clear()
    images = generate(folder, batch_size=8)
    assert functions.CALLS == [-8, -4, 2, 2, 2, 2, 2, 1, 8, 3]
    assert sorted(hashes(folder).values()) == sorted(hashes(whole).values())
    [run] = json.loads(folder.manifest_file.read_text())["models"]["a"]["runs"]
    assert run["batch_size"] == 2
    warm = images[images["model"] == "a"]["seconds"].notna().tolist()
    assert warm == [False] * 2 + [True] * 8 + [False]  # the first batch of a size warms up


def test_not_even_one_image_is_one_sentence_and_the_others_are_made(tmp_path):
    models = {"huge": strokes("hungry", most=0), "light": strokes()}
    folder = study(tmp_path / "study", models)
    said = "models.huge: not even one image of 64x64 fits into the memory of this machine; make"
    with pytest.raises(ModelError, match=re.escape(said)):
        generate(folder)
    images = folder.read_images()
    assert images["model"].value_counts().to_dict() == {"light": 11}
    folder.root.joinpath("study.toml").write_text(
        folder.root.joinpath("study.toml").read_text().replace("most = 0", "most = 1")
    )
    folder = type(folder)(folder.root)
    assert generate(folder)["model"].value_counts().to_dict() == {"huge": 11, "light": 11}


_LIMITED = """
import json, resource, sys, threading
from pathlib import Path
from evalkit.generation import generate
from evalkit.pipelines import load_pipeline
from evalkit.study_folder import open_study
from tests.miniatures import requests
folder = open_study(Path(sys.argv[1]))
load_pipeline(folder.study.models[0].located(folder.root), "cpu").render(requests(["warm"], [0]))
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
threading.stack_size(2**18)  # else the writing threads take it all
images = generate(folder, batch_size=64)
manifest = json.loads(folder.manifest_file.read_text())
print(json.dumps([run["batch_size"] for run in manifest["models"]["mini"]["runs"]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_that_really_runs_out_halves_the_batch(tmp_path):
    """An allocation of PyTorch on a CPU fails, since the process may not have more memory."""
    checkpoint = miniatures.sd_turbo(tmp_path / "checkpoint")
    table = {**small("sd-turbo", checkpoint), "width": 128, "height": 128}
    prompts = tuple(f"thing {i}" for i in range(64))
    folder = study_file(
        tmp_path / "study", {"mini": table, "light": strokes()}, prompts=prompts, seeds=(0,)
    )
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(folder.root), "350"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    sizes = json.loads(done.stdout)
    assert all(1 <= size < 64 for size in sizes)
    images = folder.read_images()
    assert (images["status"] == "ok").all()
    assert len(without_times(images)) == 128
