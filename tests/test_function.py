"""A function of the user's own: its images, or one sentence."""

import json
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from evalkit.errors import ModelError
from evalkit.generation import generate
from evalkit.models import resolve
from evalkit.pipelines import OutOfMemoryError, load_pipeline
from tests.miniatures import requests, study_file
from tests.own_images import (
    IDS,
    PAINTER,
    PROMPTS,
    SIZE,
    assert_refused,
    assert_same,
    assert_stopped,
    noise,
    pixels,
    spec,
    study,
)


def test_a_function_gets_prompts_seeds_and_arguments(tmp_path, monkeypatch):
    folder = study(tmp_path, {"callable": "painter:paint", "revision": "2"}, painter=PAINTER)
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(
        text.replace('revision = "2"', "arguments = { level = 9 }")
    )
    monkeypatch.chdir(tmp_path)
    found = pixels(folder)
    assert found.keys() == set(IDS)
    for (prompt_id, seed), array in found.items():
        length = len(PROMPTS[int(prompt_id[-1]) - 1])
        assert array[0, 0].tolist() == [length, seed, 4]
        assert (array[1:] == 9).all()


def test_a_module_is_found_in_the_study_folder_before_the_current_one(tmp_path, monkeypatch):
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    text = "import numpy\nLEVEL = {}\ndef make(prompts, seeds):\n    import late_{}\n"
    text += "    return [numpy.full((24, 32, 3), LEVEL, numpy.uint8) for _ in prompts]\n"
    (tmp_path / "current/first_place.py").write_text(text.format(1, 1))
    (tmp_path / "current/second_place.py").write_text(text.format(2, 2))
    (tmp_path / "current/late_2.py").write_text("")
    (tmp_path / "first_place.py").write_text(text.format(3, 3))
    (tmp_path / "late_3.py").write_text("")
    path = list(sys.path)
    for name, level in (("first_place", 3), ("second_place", 2)):
        loaded = load_pipeline(spec({"callable": f"{name}:make"}, tmp_path))
        [result] = loaded.render(requests(["a cat"], [0]))
        assert np.asarray(result.image).max() == level
    assert sys.path == path


def test_another_study_s_module_does_not_stand_in(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "namesake.py").write_text("def make(prompts, seeds): return []")
    load_pipeline(spec({"callable": "namesake:make"}, tmp_path / "one"))
    load_pipeline(spec({"callable": "namesake:make"}, tmp_path / "one"))
    with pytest.raises(ModelError, match=r"two/namesake.py has the name of .*one/namesake.py"):
        load_pipeline(spec({"callable": "namesake:make"}, tmp_path / "two"))
    for name in ("one", "two"):  # in a folder without __init__.py
        (tmp_path / name / "space").mkdir()
        (tmp_path / name / "space" / "part.py").write_text("def make(prompts, seeds): return []")
    load_pipeline(spec({"callable": "space.part:make"}, tmp_path / "one"))
    with pytest.raises(ModelError, match=r"two/space/part.py has the name of .*one/space/part.py"):
        load_pipeline(spec({"callable": "space.part:make"}, tmp_path / "two"))


def test_none_is_a_failed_image_that_is_tried_again(tmp_path):
    code = """
        import numpy
        from pathlib import Path

        def make(prompts, seeds):
            refuses = not (Path(__file__).parent / "agrees").exists()
            image = numpy.full((24, 32, 3), 5, numpy.uint8)
            return [None if refuses and "dogs" in prompt else image for prompt in prompts]
    """
    folder = study(tmp_path, {"callable": "refusing:make"}, refusing=code)
    images = generate(folder)
    failed = images[images["status"] == "failed"]
    assert failed[["model", "prompt_id"]].drop_duplicates().values.tolist() == [["mine", "own-2"]]
    reasons = json.loads(folder.manifest_file.read_text())["models"]["mine"]["reasons"]
    assert reasons == ["refusing:make gave None"]
    (folder.root / "agrees").touch()
    assert (generate(folder)["status"] == "ok").all()


def test_input_images_are_handed_on_where_the_study_says_so(tmp_path):
    code = "def make(prompts, seeds, input_images):\n    return input_images\n"
    folder = study_file(
        tmp_path / "study",
        {name: {"callable": "echo:make", "input_images": True, **SIZE} for name in ("mine", "b")},
    )
    text = (folder.root / "study.toml").read_text()
    (folder.root / "study.toml").write_text(text.replace("[models.b]", "[models.b]\nrevision='2'"))
    (folder.root / "echo.py").write_text(code)
    assert_refused(folder, "the model mine begins from one", where="own.csv: row 2: no input image")
    rows = []
    for number, prompt in enumerate(PROMPTS, start=1):
        Image.fromarray(noise(number)).save(folder.root / f"{number}.png")
        rows.append(f"{prompt},{number}.png")
    (folder.root / "own.csv").write_text("\n".join(["prompt,input_image", *rows]) + "\n")
    found = pixels(folder)
    assert_same(found, {key: noise(int(key[0][-1])) for key in IDS})


@pytest.mark.parametrize("error", ["MemoryError()", "fake.OutOfMemoryError('CUDA')"])
def test_out_of_memory_halves_the_batch(tmp_path, error):
    code = f"""
        import numpy

        class fake:
            class OutOfMemoryError(RuntimeError):
                pass

        def make(prompts, seeds):
            if len(prompts) > 2:
                raise {error}
            return [numpy.full((24, 32, 3), len(prompts), numpy.uint8) for _ in prompts]
    """
    folder = study(tmp_path, {"callable": f"hungry_{len(error)}:make"})
    (folder.root / f"hungry_{len(error)}.py").write_text(textwrap.dedent(code))
    loaded = load_pipeline(folder.study.models[0].located(folder.root))
    with pytest.raises(OutOfMemoryError, match="out of memory with 3 images"):
        loaded.render(requests(["a", "b", "c"], [0, 0, 0]))
    assert all(array.max() == 2 for array in pixels(folder).values())


@pytest.mark.parametrize(
    ("number", "callable", "code", "parts"),
    [
        (1, "nowhere_at_all:f", "", ["no module nowhere_at_all in", "or installed"]),
        (2, "wrong_2:f", "x = 1", ["wrong_2 has no f"]),
        (3, "wrong_3:f", "f = 1", ["wrong_3 cannot be called: f"]),
        (4, "wrong_4:f", "def f(:", ["cannot be imported (SyntaxError"]),
        (5, "wrong_5:f", "import nothing_5", ["(ModuleNotFoundError: No module named 'nothing_5"]),
        (6, "wrong_6:f", "1 / 0", ["cannot be imported (ZeroDivisionError"]),
        (7, "wrong_7:f", "def f(prompts): pass", ["cannot be called with", "too many positional"]),
        (8, "wrong_8:f", "def f(p, s, steps): pass", ["missing a required argument: 'steps'"]),
        (9, "wrong_9:f", "def f(p, s, input_images): pass", ["correct arguments or input_images"]),
        (10, "wrong_10.part:f", "", ["no module wrong_10.part"]),
        (11, "no colon", "", ["callable = 'no colon'", "allowed is package.module:function"]),
    ],
)
def test_a_function_that_cannot_be_called_is_one_sentence(tmp_path, number, callable, code, parts):
    folder = study(tmp_path, {"callable": callable}, **{f"wrong_{number}": code})
    assert_refused(folder, *parts)


@pytest.mark.parametrize(
    ("number", "body", "parts"),
    [
        (1, "raise OSError('first\\nsecond')", ["failed (OSError: first); correct"]),
        (2, "return None", ["gave a NoneType for 4 prompts"]),
        (3, "return [None]", ["gave a list of 1 for 4 prompts"]),
        (4, "return ['x.png'] * 4", ['the image of prompt "own-1", seed 0', "is a str"]),
        (5, "return [np.zeros((24, 32, 3))] * 4", ["float64 array of the shape (24, 32, 3)"]),
        (6, "return [np.zeros((24, 32), np.uint8)] * 4", ["uint8 array of the shape (24, 32)"]),
        (7, "return [np.ones((32, 32, 3), np.uint8)] * 4", ["is 32x32 px; allowed is 32x24"]),
    ],
)
def test_a_function_that_errs_is_one_sentence(tmp_path, number, body, parts):
    code = f"import numpy as np\ndef make(prompts, seeds):\n    {body}\n"
    folder = study(tmp_path, {"callable": f"erring_{number}:make"}, **{f"erring_{number}": code})
    error = assert_stopped(folder, f"erring_{number}:make", *parts)
    if number == 1:
        loaded = load_pipeline(folder.study.models[0].located(folder.root))
        with pytest.raises(ModelError) as caught:
            loaded.render(requests(list("abcd"), [0] * 4))
        assert isinstance(caught.value.__cause__, OSError)  # the traceback is not lost
        assert "second" not in str(error)


@pytest.mark.parametrize(
    ("module", "text"),
    [("left", "exit(3)"), ("leaving", "def draw(prompts, seeds):\n    exit(3)\n")],
)
def test_code_that_would_end_the_program_ends_its_model_alone(tmp_path, module, text):
    (tmp_path / f"{module}.py").write_text(text)
    table = {"callable": f"{module}:draw", "width": 32, "height": 32}
    spec = resolve("mine", table, "models.mine").located(tmp_path)
    with pytest.raises(ModelError, match=r"SystemExit: 3"):
        load_pipeline(spec).render(requests(["a cat"], [0]))
