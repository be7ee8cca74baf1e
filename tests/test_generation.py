"""From a study folder to its images: complete, matched, and the same whatever stops it."""

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import files
from evalkit.collection import open_collection
from evalkit.errors import ModelError, StudyError
from evalkit.generation import describe_plan, generate, local, plan_images
from evalkit.lock import require_unchanged
from evalkit.models import resolve
from evalkit.pipelines import load_pipeline
from evalkit.presets import init_study
from evalkit.study_folder import StudyFolder, open_study
from tests import miniatures
from tests.miniatures import small, study_file
from tests.study_factory import NOW, admit

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The miniature checkpoints by name."""
    root = tmp_path_factory.mktemp("checkpoints")
    miniatures.scenes_unet(root / "scenes_lcm", guided=True)
    miniatures.scenes_unet(root / "scenes_turbo")
    for name in ("sdxl", "lcm_sdxl_unet", "lora_sdxl", "scenes_base", "sd_turbo", "filtered_sd"):
        getattr(miniatures, name)(root / name)
    return {path.name: path for path in root.iterdir()}


def pair(made, **changes):
    """Two fast models."""
    return {
        "base": small("scenes-base", made["scenes_base"], steps=2, **changes),
        "turbo": small("sd-turbo", made["sd_turbo"]),
    }


def hashes(folder: StudyFolder) -> dict[str, str]:
    """SHA-256 of every PNG by its path."""
    return {
        str(path.relative_to(folder.images)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.images.rglob("*.png"))
    }


def without_times(images: pd.DataFrame) -> list[dict]:
    return images.drop(columns="seconds").to_dict("records")


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
    monkeypatch.setattr(local, "load_pipeline", lambda *_: pytest.fail("a model was loaded"))
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


@pytest.mark.parametrize("damage", ["half", "empty", "other", "gone", "record", "half record"])
def test_a_damaged_image_is_made_again_and_no_other(made, tmp_path, damage):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    before = hashes(folder)
    file = folder.images / images["file_name"].iloc[3]
    record = file.with_suffix(".json")
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        shutil.copy(folder.images / images["file_name"].iloc[4], file)
    elif damage == "gone":
        file.unlink()
    elif damage == "record":
        record.unlink()
    else:
        record.write_text(record.read_text()[:40])
    assert plan_images(folder)["made"].tolist() == [row != 3 for row in range(12)]
    written = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    again = generate(folder)
    assert without_times(again) == without_times(images)
    assert hashes(folder) == before
    now = {path: path.stat().st_mtime_ns for path in folder.images.rglob("*.png")}
    assert {path for path in now if now[path] != written.get(path)} == {file}


def test_a_damaged_image_is_not_listed_where_it_cannot_be_made(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder)
    (folder.images / images["file_name"].iloc[3]).write_bytes(b"half")
    with pytest.raises(StudyError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "load_pipeline", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        generate(folder)
    assert folder.read_images()["image_id"].tolist() == images["image_id"].drop(3).tolist()


def test_images_that_cannot_be_shown_are_listed_and_counted(made, tmp_path):
    broken = miniatures.spoil(miniatures.sd_turbo(tmp_path / "broken"), float("nan"))
    models = {
        "filtered": small("scenes-base", made["filtered_sd"], steps=1),
        "broken": small("sd-turbo", broken),
        **pair(made),
    }
    folder = study_file(tmp_path / "study", models)
    images = generate(folder)
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


def test_progress_counts_what_is_there(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    calls = []
    generate(folder, batch_size=4, progress=lambda *call: calls.append(call))
    assert calls == [
        (0, 12, ""), (0, 12, "base"), (4, 12, "base"), (6, 12, "base"),
        (6, 12, "turbo"), (10, 12, "turbo"), (12, 12, "turbo"),
    ]  # fmt: skip
    next((folder.images / "turbo").glob("*.png")).unlink()
    calls.clear()
    generate(folder, progress=lambda *call: calls.append(call))
    assert calls == [(11, 12, ""), (11, 12, "turbo"), (12, 12, "turbo")]
    calls.clear()
    generate(folder, progress=lambda *call: calls.append(call))
    assert calls == [(12, 12, "")]


def test_seconds_are_the_batch_over_its_images(made, tmp_path, monkeypatch):
    """With a clock that goes on by one second at each look."""
    clock = iter(range(1000))
    monkeypatch.setattr(local.time, "perf_counter", lambda: float(next(clock)))
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder, batch_size=4)
    assert images["seconds"].tolist() == pytest.approx(2 * [*[np.nan] * 4, 0.5, 0.5], nan_ok=True)
    [run] = json.loads(folder.manifest_file.read_text())["models"]["base"]["runs"]
    assert (run["seconds_per_image"], run["seconds_n"]) == (0.5, 2)  # the first batch warms up


@pytest.mark.parametrize(
    ("size", "expected"), [(96, 8), (512, 8), (768, 3), (1024, 2), (2048, 1), (4096, 1)]
)
def test_large_images_come_in_small_batches(size, expected):
    spec = resolve("m", {"catalogue": "sdxl", "width": size, "height": size}, "")
    assert local.default_batch_size(spec) == expected


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


def test_a_folder_that_cannot_be_written_is_one_sentence(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    folder.images.write_text("a file where the folder of the images should be")
    with pytest.raises(StudyError, match=r"cannot be read or written \(Not a directory\).*evalkit"):
        generate(folder)


def test_stopped_at_any_write_the_next_run_completes_the_set(made, tmp_path, monkeypatch):
    """Every file of a run is, in turn, the one at whose writing the run is stopped."""
    whole = study_file(tmp_path / "whole", pair(made), prompts=("a cat", "a dog"), seeds=(0,))
    expected = without_times(generate(whole, batch_size=1))
    inner, left = files.os.fsync, [0]
    loaded = {spec.name: load_pipeline(spec, "cpu") for spec in whole.study.models}
    for pipeline in loaded.values():
        monkeypatch.setattr(pipeline, "close", lambda: None)
    monkeypatch.setattr(local, "load_pipeline", lambda spec, device: loaded[spec.name])

    def stop(handle):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        inner(handle)

    stops = 0
    for at in range(100):
        folder = study_file(tmp_path / str(at), pair(made), prompts=("a cat", "a dog"), seeds=(0,))
        left[0] = at
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", stop)
            try:
                generate(folder, batch_size=1)
            except KeyboardInterrupt:
                stops += 1
        if folder.images_file.is_file():  # what is listed is there
            for row in folder.read_images().itertuples():
                assert (folder.images / row.file_name).is_file()
        assert without_times(generate(folder, batch_size=1)) == expected
        assert hashes(folder) == hashes(whole)
        if stops == at:  # it was not stopped any more
            break
    # prompts, two tables twice, and per model a run, two images and their records
    assert stops == 1 + 2 * 2 + 2 * (1 + 2 * 2)


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


# ---- once there are votes


def vote_once(folder):
    store = open_collection(folder, NOW)
    session = admit(store, "ann")
    store.next_trial("ann", session, "t1", NOW, seed=0)
    store.record_vote("t1", "ann", "left", 900, NOW)
    store.close()


def all_files(folder):
    """The bytes of all files but the database's."""
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.startswith("votes.sqlite")}


@pytest.mark.parametrize("change", ["settings", "prompts"])
def test_with_votes_a_changed_study_is_refused_and_nothing_is_written(made, tmp_path, change):
    folder = study_file(tmp_path / "study", pair(made))
    generate(folder)
    vote_once(folder)
    file, old, new, message = {
        "settings": ("study.toml", "steps = 2", "steps = 3", r"study\.toml has changed since"),
        "prompts": ("own.csv", "a red cat", "a red cow", "the prompts have changed since.*source"),
    }[change]
    text = (folder.root / file).read_text()
    (folder.root / file).write_text(text.replace(old, new))
    before = all_files(folder)
    for step in (generate, describe_plan):
        with pytest.raises(StudyError, match=message):
            step(open_study(folder.root))
    assert all_files(folder) == before
    (folder.root / file).write_text(text)  # as the sentence says
    assert len(generate(open_study(folder.root))) == 12


def test_with_votes_an_image_that_failed_stays_failed(made, tmp_path):
    broken = miniatures.spoil(miniatures.sd_turbo(tmp_path / "broken"), float("nan"))
    folder = study_file(tmp_path / "study", {"broken": small("sd-turbo", broken), **pair(made)})
    images = generate(folder)
    vote_once(folder)
    shutil.rmtree(broken)
    miniatures.sd_turbo(broken)
    assert "broken: 0 of 6 images to make" in describe_plan(folder)
    before = all_files(folder)
    pd.testing.assert_frame_equal(generate(folder), images)
    assert all_files(folder) == before


def test_with_votes_a_damaged_image_comes_back_as_it_was_or_not_at_all(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    images = generate(folder, batch_size=1)
    vote_once(folder)
    before = hashes(folder)
    damaged, lost = (folder.images / images["file_name"].iloc[row] for row in (1, 8))
    damaged.write_bytes(b"half")
    lost.unlink()
    lost.with_suffix(".json").unlink()
    assert "2 of 12 images to make" in describe_plan(folder)
    pd.testing.assert_frame_equal(generate(folder, batch_size=1), images)
    assert hashes(folder) == before

    damaged.write_bytes(b"half")
    lost.unlink()
    other = replaced(made["scenes_base"], miniatures.scenes_base, seed=99)
    with other, pytest.raises(ModelError, match="models.base: image .* comes out otherwise than"):
        generate(folder, batch_size=1)
    assert damaged.read_bytes() == b"half"
    assert lost.is_file()  # the other model is as it was
    pd.testing.assert_frame_equal(folder.read_images(), images)
    require_unchanged(folder)  # so that the votes are not lost with the file
    assert len(open_collection(folder, NOW).votes()) == 1


@contextmanager
def replaced(folder, make, seed):
    """Other weights in a checkpoint's folder, for a while."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    make(folder, seed)
    yield
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize("table", ["prompts.csv", "images.csv"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_with_votes_a_changed_table_is_written_as_it_was(made, tmp_path, table, damage):
    folder = study_file(tmp_path / "study", pair(made))
    generate(folder)
    vote_once(folder)
    file = folder.root / table
    content = file.read_text()
    if damage == "gone":
        file.unlink()
    else:
        file.write_text(content.replace("own-2", "own-7"))
    with pytest.raises(StudyError, match="have changed since|evalkit generate"):
        require_unchanged(folder)
    generate(folder)
    assert file.read_text() == content
    require_unchanged(folder)


# ---- killed


_GENERATE = """
import sys
from pathlib import Path
from evalkit.generation import generate
from evalkit.study_folder import open_study
generate(open_study(Path(sys.argv[1])), batch_size=3)
"""


def test_killed_at_random_moments_the_set_is_the_same(made, tmp_path):
    """kill -9 of the real process, three times on its way through the set."""
    models = pair(made)
    models["base"]["steps"] = 30
    prompts = tuple(f"a thing with number {i}" for i in range(16))
    whole = study_file(tmp_path / "whole", models, prompts=prompts)
    expected = generate(whole, batch_size=3)
    folder = study_file(tmp_path / "killed", models, prompts=prompts)
    rng = random.Random(1)
    killed = 0
    for _ in range(3):
        there = len(hashes(folder))
        process = subprocess.Popen([sys.executable, "-c", _GENERATE, str(folder.root)], cwd=ROOT)
        wanted = there + rng.randint(1, 20)
        while process.poll() is None and len(list(folder.images.rglob("*.png"))) < wanted:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        for path in folder.images.rglob("*.png"):  # whole or not at all
            Image.open(path).load()
    assert killed == 3
    assert 0 < len(hashes(folder)) < 64
    found = generate(folder, batch_size=3)
    assert (found["status"] == "ok").all()
    assert found["image_id"].tolist() == expected["image_id"].tolist()
    for name in found["file_name"]:
        one, other = (np.asarray(Image.open(f.images / name)) for f in (whole, folder))
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(made, tmp_path):
    folder = study_file(tmp_path / "study", pair(made))
    before = sorted(folder.root.iterdir())
    with pytest.raises(ModelError, match='device: "gpu"; allowed are cpu, cuda') as caught:
        generate(folder, device="gpu")
    assert str(caught.value).count("device") == 1
    assert sorted(folder.root.iterdir()) == before
