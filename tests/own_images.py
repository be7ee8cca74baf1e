"""Studies whose images are no checkpoint's: what they are made of and what they come to."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evalkit.errors import EvalkitError, ModelError
from evalkit.generation import generate
from evalkit.models import resolve
from tests.miniatures import study_file

PROMPTS = ("a red cat", "two green dogs")
SIZE = {"width": 32, "height": 24}
IDS = [(f"own-{number}", seed) for number in (1, 2) for seed in (0, 1)]

PAINTER = """
    import numpy as np
    from PIL import Image

    def paint(prompts, seeds, level=7):
        images = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            array = np.full((24, 32, 3), level, np.uint8)
            array[0, 0] = len(prompt), seed, len(prompts)
            images.append(Image.fromarray(array) if seed else array)
        return images
"""


def noise(*key, size=(24, 32, 3)):
    """Pixels that are those of no other image."""
    seed = [ord(letter) for letter in repr(key)]
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def fill(folder, pattern="{}/{}.png", skip=()):
    """The images of the study in a folder."""
    for prompt_id, seed in IDS:
        path = folder / pattern.format(prompt_id, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        if (prompt_id, seed) not in skip:
            Image.fromarray(noise(prompt_id, seed)).save(path)
    return folder


def study(root, table, **files):
    """A study of a model of this table beside one whose images are all there."""
    other = {"images": "other", **SIZE}
    folder = study_file(
        root / "study", {"mine": {**SIZE, **table}, "other": other}, prompts=PROMPTS
    )
    fill(folder.root / "other")
    for name, text in files.items():
        (folder.root / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def spec(table, root=Path()):
    return resolve("mine", {**SIZE, **table}, "study.toml: models.mine").located(root)


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if "pyc" not in str(path))


def assert_refused(folder, *parts, where="models.mine"):
    """generate refuses with one sentence that has these parts, and writes nothing."""
    before = tree(folder.root)
    with pytest.raises(EvalkitError) as caught:
        generate(folder)
    for part in [*parts, where]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(folder.root) == before
    return caught.value


def assert_stopped(folder, *parts):
    """generate makes the other model's images, none of this one, and says one sentence."""
    with pytest.raises(ModelError) as caught:
        generate(folder)
    for part in [*parts, "models.mine"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert folder.read_images()["model"].unique().tolist() == ["other"]
    assert not list((folder.images / "mine").glob("*.png"))
    assert not [path for path in folder.root.rglob("*") if path.suffix == ".part"]
    return caught.value


def pixels(folder, model="mine"):
    """The images of a model by (prompt_id, seed)."""
    images = generate(folder)
    own = images[images["model"] == model]
    assert (own["status"] == "ok").all()
    found = {}
    for row in own.itertuples():
        with Image.open(folder.images / row.file_name) as image:
            assert (image.mode, image.info) == ("RGB", {})
            found[row.prompt_id, row.seed] = np.asarray(image)
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
