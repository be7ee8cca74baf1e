"""The prompts of a study in generation: what is said, recorded, cut, dropped and begun from."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from evalkit import tables
from evalkit.errors import ModelError, StudyError
from evalkit.files import file_sha256
from evalkit.generation import describe_plan, generate
from evalkit.study_folder import StudyFolder
from tests import miniatures

LONG = "a b c d e f g h i j k l m n o p q r s t u v w"  # 23 tokens and two marks; 24 is the limit


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return miniatures.sd_turbo(tmp_path_factory.mktemp("checkpoints") / "sd-turbo")


@pytest.fixture
def study(tmp_path, checkpoint):
    def make(text: str, prompts: str = "", **table: object) -> StudyFolder:
        models = {
            name: miniatures.small("sd-turbo", checkpoint, steps=steps, **table)
            for name, steps in (("one", 2), ("two", 4))
        }
        folder = miniatures.study_file(tmp_path / "study", models, seeds=(0,))
        (folder.root / "own.csv").write_text(text)
        file = folder.root / "study.toml"
        file.write_text(file.read_text().replace('"own.csv"\n', f'"own.csv"\n{prompts}\n'))
        return folder

    return make


def run(folder: StudyFolder) -> tuple[list[str], dict]:
    """What was said, and prompts.json."""
    said: list[str] = []
    generate(folder, device="cpu", say=said.append)
    return said, json.loads(folder.prompts_record.read_text())


def test_dropped_rows_and_cut_prompts_are_said_and_recorded(study):
    folder = study(f"prompt\na cat\na dog\na cat\n{LONG}\n", 'duplicates = "drop"')
    said, record = run(folder)
    cut = "prompt is longer than its 24 tokens and is cut: row 5"
    assert said == [
        f"{folder.root / 'own.csv'}: 1 of 4 rows dropped as duplicates of an earlier row: row 4",
        f"one: 1 {cut}",
        f"two: 1 {cut}",
    ]
    assert record["source"]["dropped"] == {"duplicate": 1, "blank": 0, "over_long": 0}
    assert record["source"]["sha256"] == file_sha256(folder.root / "own.csv")
    assert record["drawn"] == 3
    over_long = [{"prompt_id": "own-4", "tokens": 25}]
    assert record["models"]["one"] == {"limit_tokens": 24, "over_long": over_long}
    assert folder.read_prompts()["prompt"].tolist() == ["a cat", "a dog", LONG]
    assert set(folder.read_images()["status"]) == {"ok"}


def test_a_dry_run_says_the_same_and_writes_nothing(study):
    folder = study(f"prompt\na cat\n{LONG}\n")
    assert describe_plan(folder).splitlines()[:2] == [
        "one: 1 prompt is longer than its 24 tokens and is cut: row 3",
        "two: 1 prompt is longer than its 24 tokens and is cut: row 3",
    ]
    assert sorted(path.name for path in folder.root.iterdir()) == ["own.csv", "study.toml"]


def test_a_long_prompt_is_refused_before_anything_is_made(study):
    folder = study(f"prompt\na cat\n{LONG}\n", 'over_long = "refuse"')
    with pytest.raises(StudyError, match=r"own\.csv: row 3: .* 25 tokens, and one reads 24"):
        run(folder)
    assert sorted(path.name for path in folder.root.iterdir()) == ["own.csv", "study.toml"]


def test_long_prompts_are_dropped_before_the_draw(study):
    folder = study(f"prompt\n{LONG}\na cat\na dog\na fox\n", 'over_long = "drop"\nn = 2')
    said, record = run(folder)
    assert said[0].endswith("1 of 4 rows dropped as too long for a text encoder: row 2")
    assert len(said) == 1
    assert folder.read_prompts()["prompt"].tolist() == ["a cat", "a dog"]
    assert record["source"]["kept"] == 3


def test_a_tokenizer_that_is_not_there_is_said_and_does_not_hide(study, tmp_path):
    folder = study("prompt\na cat\n", repository=str(tmp_path / "nowhere"))
    said: list[str] = []
    with pytest.raises(ModelError, match=r"models\.one: no folder"):
        generate(folder, device="cpu", say=said.append)
    assert said[0].startswith("one: the length of the prompts is not known (models.one:")
    record = json.loads(folder.prompts_record.read_text())
    assert record["models"]["one"]["limit_tokens"] is None
    file = folder.root / "study.toml"
    text = file.read_text()
    for rule in ("drop", "refuse"):
        file.write_text(text.replace("[images]", f'over_long = "{rule}"\n[images]'))
        with pytest.raises(ModelError, match=f'over_long = "{rule}" needs the tokenizers'):
            describe_plan(StudyFolder(folder.root))


def test_the_record_follows_the_draw(study):
    folder = study("prompt\na cat\na dog\n")
    run(folder)
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(text.replace("[images]", "n = 1\n[images]"))
    _, record = run(StudyFolder(folder.root))  # nothing is left to be made
    assert (record["drawn"], record["settings"]["n"]) == (1, 1)
    assert run(StudyFolder(folder.root)) == ([], record)


def test_an_image_to_image_study_carries_its_images(study, tmp_path):
    folder = study("prompt,image\na cat,red.png\na cat,blue.png\n", strength=0.5)
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        Image.new("RGB", (32, 32), colour).save(folder.root / f"{name}.png")
    run(folder)
    prompts = folder.read_prompts()
    hashes = [file_sha256(folder.root / f"{name}.png") for name in ("red", "blue")]
    assert prompts["input_sha256"].tolist() == hashes
    assert prompts["input_image"].tolist() == [f"inputs/{sha256[:16]}.png" for sha256 in hashes]
    images = folder.read_images()
    assert set(images["status"]) == {"ok"}
    assert images["image_id"].is_unique
    # The same prompt, seed and noise: what differs is what they began from.
    red, blue = (np.asarray(Image.open(folder.images / file)) for file in images["file_name"][:2])
    assert not np.array_equal(red, blue)
    moved = shutil.move(folder.root, tmp_path / "moved")
    for row in tables.read(moved / "prompts.csv", tables.PROMPTS).itertuples():
        assert file_sha256(moved / row.input_image) == row.input_sha256
    assert "\n0 of 4 images to make" in describe_plan(StudyFolder(moved))


def test_an_image_to_image_study_needs_an_image_for_each_prompt(study):
    folder = study("prompt,image\na cat,\n", strength=0.5)
    with pytest.raises(StudyError, match=r"row 2: no input image, and the model one begins"):
        describe_plan(folder)


def test_images_are_left_out_where_no_model_takes_one(study):
    folder = study("prompt,image\na cat,not-there.png\n")
    run(folder)
    assert "input_image" not in folder.read_prompts().columns
    assert not (folder.root / "inputs").exists()
