"""From a study folder to its images: complete, matched, counted."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit.errors import ModelError, StudyError
from evalkit.generation import describe_plan, generate, plan_images, worker
from evalkit.pipelines import load_pipeline
from evalkit.presets import init_study
from evalkit.study_folder import open_study
from tests import miniatures
from tests import strokes as functions
from tests.generated import hashes, pair, strokes, without_times
from tests.miniatures import small, study_file


def test_every_kind_of_the_catalogue_runs(made, tmp_path):
    base, sdxl = made["scenes_base"], made["sdxl"]
    models = {
        "scenes-base": small("scenes-base", base, steps=3),
        "scenes-lcm": small("scenes-lcm", base, unet_repository=made["scenes_lcm"]),
        "scenes-turbo": small("scenes-turbo", base, unet_repository=made["scenes_turbo"]),
        "sdxl": small("sdxl", sdxl, steps=3),
        "sdxl-turbo": small("sdxl-turbo", sdxl),
        "sdxl-turbo-4": small("sdxl-turbo", sdxl, steps=4),
        "lcm-sdxl": small("lcm-sdxl", sdxl, unet_repository=made["lcm_sdxl_unet"], height=64),
        "lcm-lora-sdxl": small("lcm-lora-sdxl", sdxl, lora_repository=made["lora_sdxl"]),
        "sd-turbo": small("sd-turbo", made["sd_turbo"]),
    }
    folder = study_file(tmp_path / "study", models)
    images = generate(folder)
    assert images["model"].value_counts().to_dict() == dict.fromkeys(models, 6)
    assert (images["status"] == "ok").all()
    assert images["sha256"].is_unique
    for row in images.itertuples():
        data = (folder.images / row.file_name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        with Image.open(folder.images / row.file_name) as image:
            assert (image.mode, image.size, image.info) == ("RGB", (row.width, row.height), {})
            assert image.size == (32, 64 if row.model == "lcm-sdxl" else 32)
            assert np.asarray(image).std() > 1  # a picture, not one colour
    pd.testing.assert_frame_equal(folder.read_images(), images)
    prompts = folder.read_prompts()
    assert prompts["prompt"].tolist() == ["a red cat", "two green dogs", "a house by the sea"]
    assert set(images["prompt_id"]) == set(prompts["prompt_id"])
    manifest = json.loads(folder.manifest_file.read_text())
    assert manifest["images"] == {"ok": 54, "failed": 0, "filtered": 0, "missing": 0}
    [run] = manifest["models"]["sdxl-turbo-4"]["runs"]
    assert manifest["models"]["sdxl-turbo-4"]["settings"]["precision"] == "float16"
    assert (run["device"], run["precision"], run["vae_precision"]) == ("cpu", "float32", "float32")
    assert run["scheduler"] == "EulerAncestralDiscreteScheduler"
    assert run["scheduler_config"]["timestep_spacing"] == "trailing"
    assert run["images"]["ok"] == 6
    assert run["load_seconds"] > 0
    assert {"evalkit", "torch", "diffusers", "transformers"} <= set(run["versions"])


def test_a_png_holds_the_pixels_of_the_pipeline(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    prompts = dict(zip(*folder.read_prompts()[["prompt_id", "prompt"]].to_numpy().T, strict=True))
    loaded = load_pipeline(folder.study.models[0], "cpu")
    own = images[images["model"] == "base"]
    results = loaded.render(
        miniatures.requests([prompts[i] for i in own["prompt_id"]], own["seed"].tolist())
    )
    for name, result in zip(own["file_name"], results, strict=True):
        found = np.asarray(Image.open(folder.images / name)).astype(int)
        assert np.abs(found - np.asarray(result.image)).max() <= 1


def test_the_plan_is_every_model_prompt_and_seed(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made), seeds=(3, 1))
    before = sorted(tmp_path.rglob("*"))
    plan = plan_images(folder)
    prompts = ["a red cat", "two green dogs", "a house by the sea"]
    expected = [(m, p, s) for m in ("base", "turbo") for p in prompts for s in (3, 1)]
    assert list(zip(plan["model"], plan["prompt"], plan["seed"], strict=True)) == expected
    assert plan["image_id"].is_unique
    assert not plan["made"].any()
    lines = describe_plan(folder).splitlines()
    assert lines[0].startswith("base: 6 of 6 images to make (")
    assert lines[-1] == "12 of 12 images to make (models 2, prompts 3, seeds 2)"
    assert sorted(tmp_path.rglob("*")) == before  # a dry run writes nothing


def test_the_plan_of_the_paper_study(tmp_path):
    """4 models on the prompts of the file, without loading anything."""
    file = init_study(tmp_path / "paper", "sdxl-turbo")
    text = file.read_text()
    (tmp_path / "paper" / "p.tsv").write_text("prompt\n" + "".join(f"p{i}\n" for i in range(400)))
    file.write_text(text.replace('source = "partiprompts"', 'source = "p.tsv"'))
    folder = open_study(tmp_path / "paper")
    plan = plan_images(folder)
    n = folder.study.prompts.n or 400
    assert len(plan) == len(folder.study.models) * n * len(folder.study.images.seeds)
    assert plan["image_id"].is_unique


def test_what_is_there_is_not_made_again(made, tmp_path, monkeypatch):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    written = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    manifest = folder.manifest_file.read_text()
    monkeypatch.setattr(worker, "load_pipeline", lambda *_: pytest.fail("a model was loaded"))
    pd.testing.assert_frame_equal(generate(folder), images)
    assert {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")} == written
    assert folder.manifest_file.read_text() == manifest


def test_the_set_does_not_depend_on_batch_order_or_resume(made, tmp_path):
    """Equal pixels up to the last bit of a kernel that sums in another order."""
    prompts = ("a red cat", "two green dogs", "a house by the sea", "a boat", "ten birds")
    sets = []
    for number, (batch_size, order) in enumerate([(1, 1), (3, 1), (8, 1), (4, -1)]):
        folder = study_file(tmp_path / str(number), pair(made), prompts=prompts[::order])
        if batch_size == 3:  # in two goes, the first of them on part of the prompts
            shutil.move(folder.root / "own.csv", tmp_path / "all.csv")
            (folder.root / "own.csv").write_text(f"prompt\n{prompts[1]}\n{prompts[3]}\n")
            assert len(generate(folder, batch_size=2)) == 8
            shutil.move(tmp_path / "all.csv", folder.root / "own.csv")
        images = generate(folder, batch_size=batch_size)
        assert len(images) == 20
        sets.append({n: np.asarray(Image.open(folder.images / n)) for n in images["file_name"]})
    for other in sets[1:]:
        assert other.keys() == sets[0].keys()
        for name, image in sets[0].items():
            assert np.abs(image.astype(int) - other[name]).max() <= 1


def test_a_changed_setting_makes_new_images_and_keeps_the_old(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    old = generate(folder)
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(text.replace("steps = 2", "steps = 3"))
    folder = open_study(folder.root)
    assert "base: 6 of 6 images to make" in describe_plan(folder)
    assert "turbo: 0 of 6 images to make" in describe_plan(folder)
    new = generate(folder)
    changed = old["model"] == "base"
    assert not set(new["image_id"]) & set(old.loc[changed, "image_id"])
    assert set(new["image_id"]) >= set(old.loc[~changed, "image_id"])
    assert len(new) == 12
    assert len(hashes(folder)) == 18  # the old ones lie there, but are not listed


def test_images_that_cannot_be_shown_are_listed_and_counted(made, tmp_path):
    broken = miniatures.spoil(miniatures.sd_turbo(tmp_path / "broken"), float("nan"))
    models = {
        "filtered": small("scenes-base", made["filtered_sd"], steps=1),
        "broken": small("sd-turbo", broken),
        **pair(made),
    }
    folder = study_file(tmp_path / "study", models)
    said: list[str] = []
    images = generate(folder, say=said.append)
    assert said[-2:] == [
        "filtered: 6 filtered (the checkpoint's safety filter)",
        "broken: 6 failed (pixels that are not finite numbers)",
    ]
    counts = images.groupby("model")["status"].agg(["unique", "size"])
    assert counts.loc["filtered", "unique"].tolist() == ["filtered"]
    assert counts.loc["broken", "unique"].tolist() == ["failed"]
    assert (counts["size"] == 6).all()
    assert (images.loc[images["status"] != "ok", "file_name"] == "").all()
    assert not list((folder.images / "broken").glob("*.png"))
    manifest = json.loads(folder.manifest_file.read_text())
    assert manifest["images"] == {"ok": 12, "failed": 6, "filtered": 6, "missing": 0}
    assert manifest["models"]["broken"]["reasons"] == ["pixels that are not finite numbers"]
    # The filter has decided; what failed is tried again, here with a mended checkpoint.
    assert "filtered: 0 of 6" in describe_plan(folder)
    assert "broken: 6 of 6" in describe_plan(folder)
    shutil.rmtree(broken)
    miniatures.sd_turbo(broken)
    assert generate(folder)["status"].value_counts().to_dict() == {"ok": 18, "filtered": 6}


def test_a_model_that_cannot_run_does_not_stop_the_others(made, tmp_path):
    misfit = small("sdxl", made["sdxl"], unet_repository=made["scenes_turbo"] / "unet")
    models = {
        "absent": small("sdxl", tmp_path / "nowhere"),
        **pair(made),
        "misfit": {**misfit, "unet_variant": ""},
    }
    folder = study_file(tmp_path / "study", models)
    with pytest.raises(ModelError) as caught:
        generate(folder)
    assert 'models.absent: no folder "' in str(caught.value)
    assert "models.misfit: the checkpoint cannot make images" in str(caught.value)
    assert folder.read_images()["model"].value_counts().to_dict() == {"base": 6, "turbo": 6}
    manifest = json.loads(folder.manifest_file.read_text())
    assert manifest["models"]["absent"]["images"]["missing"] == 6
    assert manifest["images"]["missing"] == 12


def test_progress_counts_what_is_written(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    calls = []

    def show(done, total, model):
        calls.append((done, total, model))
        assert len([*folder.images.glob("*/[!r]*.json")]) >= done  # records, without run-*.json

    generate(folder, batch_size=4, progress=show)
    assert calls[:2] == [(0, 12, ""), (0, 12, "base")]
    assert calls[-1] == (12, 12, "turbo")
    assert (6, 12, "base") in calls
    assert (6, 12, "turbo") in calls
    assert calls == sorted(calls, key=lambda call: call[0])
    next((folder.images / "turbo").glob("*.png")).unlink()
    calls.clear()
    generate(folder, progress=show)
    assert calls == [(11, 12, ""), (11, 12, "turbo"), (12, 12, "turbo")]
    calls.clear()
    generate(folder, progress=show)
    assert calls == [(12, 12, "")]


def test_seconds_are_the_batch_over_its_images(made, tmp_path, monkeypatch):
    """With a clock that goes on by one second at each look."""
    clock = iter(range(1000))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(next(clock)))
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder, batch_size=2)
    expected = 2 * [np.nan, np.nan, 0.5, 0.5, 0.5, 0.5]
    assert images["seconds"].tolist() == pytest.approx(expected, nan_ok=True)
    [run] = json.loads(folder.manifest_file.read_text())["models"]["base"]["runs"]
    assert (run["seconds_per_image"], run["seconds_n"]) == (0.5, 4)  # the first batch warms up


def test_a_batch_of_another_size_warms_up_too(made, tmp_path):
    """Batches of 4, 4 and 2: what is compiled is compiled anew for the last one."""
    prompts = tuple(f"thing {i}" for i in range(5))
    folder = study_file(tmp_path / "study", pair(made), prompts=prompts)
    images = generate(folder, batch_size=4)
    assert images["seconds"].notna().tolist() == 2 * [*[False] * 4, *[True] * 4, False, False]


def test_a_model_that_failed_lets_its_memory_go_before_the_next_one_runs(tmp_path):
    models = {"failed": strokes("fail_with_a_lot"), "next": strokes("see_what_is_held")}
    folder = study_file(tmp_path / "study", models)
    with pytest.raises(ModelError, match="models.failed: .*never"):
        generate(folder)
    assert functions.HELD == [None]  # and not the array that the failed function had


def test_models_with_the_same_settings_are_refused_and_nothing_is_written(made, tmp_path):
    models = {
        "one": small("sd-turbo", made["sd_turbo"]),
        "two": small("sd-turbo", made["sd_turbo"]),
    }
    folder = study_file(tmp_path / "study", models)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StudyError, match='"one" and "two" have the same settings'):
        generate(folder)
    assert sorted(tmp_path.rglob("*")) == before


# ---- one model's images are made alike


@pytest.mark.parametrize(
    ("key", "then"), [("precision", "float16"), ("commit", "0123abc"), ("unet_commit", "4567def")]
)
def test_a_model_goes_on_only_as_it_began(made, tmp_path, key, then):
    """The runs of the images that are there say another precision, or another commit."""
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    base = folder.images / "base"
    now = json.loads(next(base.glob("run-*.json")).read_text()).get(key)
    for run in base.glob("run-*.json"):
        run.write_text(json.dumps({**json.loads(run.read_text()), key: then}))
    (folder.images / images["file_name"].iloc[3]).unlink()
    said = f"models.base: images in {base} were made with {key} {then}, and now it is {now};"
    with pytest.raises(ModelError, match=re.escape(said)):
        generate(folder)
    assert not (folder.images / images["file_name"].iloc[3]).exists()
    shutil.rmtree(base)  # as the sentence says
    assert without_times(generate(folder)) == without_times(images)


@pytest.mark.parametrize("key", ["source_sha256", "scheduler_config"])
def test_a_model_goes_on_only_with_the_code_and_sampler_that_it_began_with(made, tmp_path, key):
    """The run of the images that are there says another file of the function, or another spacing;
    what it does not say, such as a setting of a later library, is not compared."""
    model = {"source_sha256": "light", "scheduler_config": "base"}[key]
    folder = study_file(tmp_path / "study", {"light": strokes(), **pair(made)})
    images = generate(folder).set_index("model")
    [run] = (folder.images / model).glob("run-*.json")
    content = json.loads(run.read_text())
    said = {
        "source_sha256": f"source_sha256 0123, and now it is {content.get('source_sha256')};",
        "scheduler_config": "scheduler_config.timestep_spacing leading, and now it is trailing;",
    }[key]
    then = {"source_sha256": "0123", "scheduler_config": {"timestep_spacing": "leading"}}[key]
    run.write_text(json.dumps({**content, key: then}))
    (folder.images / images.loc[model, "file_name"].iloc[0]).unlink()
    with pytest.raises(ModelError, match=re.escape(f"were made with {said}")):
        generate(folder)


def test_a_repository_in_the_study_folder_moves_with_it(made, tmp_path):
    models = pair(made) | {"own": {**small("sd-turbo", Path("weights"), steps=2)}}
    folder = study_file(tmp_path / "study", models)
    shutil.copytree(made["sd_turbo"], folder.root / "weights")
    images = generate(folder)
    shutil.move(folder.root, tmp_path / "moved")
    moved = open_study(tmp_path / "moved")
    for file in (moved.images / "own").iterdir():
        file.unlink()
    assert without_times(generate(moved)) == without_times(images)


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    before = sorted(folder.root.iterdir())
    with pytest.raises(ModelError, match='device: "gpu"; allowed are cpu, cuda') as caught:
        generate(folder, device="gpu")
    assert str(caught.value).count("device") == 1
    assert sorted(folder.root.iterdir()) == before
