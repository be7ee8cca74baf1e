"""A command that writes images: they are read, or its last words are shown."""

import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from evalkit.pipelines import load_pipeline
from tests.miniatures import requests
from tests.own_images import (
    assert_refused,
    assert_stopped,
    fill,
    noise,
    pixels,
    spec,
    study,
)

WRITER = """
    import sys
    from PIL import Image

    prompt, seed, size, out = sys.argv[1:]
    width, height = map(int, size.split("x"))
    image = Image.new("RGB", (width, height), (len(prompt), int(seed), ord(prompt[0])))
    image.save(out)
"""
WORDS = [sys.executable, "writer.py", "{prompt}", "{seed}", "{width}x{height}", "{file}"]


def test_a_command_writes_an_image_each(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    folder = study(tmp_path, {"command": WORDS}, writer=WRITER)
    odd = '$HOME `id` {seed} "x"; \\ *'
    (folder.root / "own.csv").write_text(f"prompt_id,prompt\nown-1,a\nown-2,'{odd}\n")
    fill(folder.root / "other")
    found = pixels(folder)
    length = len(f"'{odd}")  # no shell has read it, and nothing was put into it
    expected = {"own-1": (1, ord("a")), "own-2": (length, ord("'"))}
    for (prompt_id, seed), array in found.items():
        n, letter = expected[prompt_id]
        assert (array == (n, seed, letter)).all()
        assert array.shape == (24, 32, 3)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("sys.exit('first\\nthe key is not valid\\n')", ["exit code 1 (the key is not valid)"]),
        ("raise KeyError('x')", ["exit code 1 (KeyError: 'x')"]),
        ("sys.exit(3)", ["ended with exit code 3; mend it"]),
        ("sys.stderr.write('done')", ["wrote no file (done)", "{file}"]),
        ("open(sys.argv[-1], 'w').write('<html>')", ["its file: cannot be decoded"]),
        ("Image.new('RGB', (8, 8)).save(sys.argv[-1])", ["its file: is 8x8 px; allowed is 32x24"]),
    ],
)
def test_a_command_that_fails_is_one_sentence(tmp_path, monkeypatch, code, parts):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    writer = f"import sys\nfrom PIL import Image\n{code}\n"
    folder = study(tmp_path, {"command": WORDS}, writer=writer)
    assert_stopped(folder, 'for prompt "own-1", seed 0', *parts)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_program_of_the_study_folder_is_found_there(tmp_path, monkeypatch):
    words = ["./program", "{prompt}", "{seed}", "{width}x{height}", "{file}"]
    folder = study(tmp_path, {"command": words})
    monkeypatch.chdir(tmp_path)
    assert_refused(folder, 'no program "./program"', "study folder")
    program = folder.root / "program"
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(WRITER).lstrip()}")
    assert_refused(folder, "make the file executable")
    program.chmod(0o755)
    assert len(pixels(folder)) == 4


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["no-such-program", "{prompt}", "{file}"], ['no program "no-such-program" on the PATH']),
        (["x", "{promt}", "{file}"], ["unknown placeholder {promt}", 'did you mean "{prompt}"?']),
        (["x", "{prompt}"], ["no word of it has {file}"]),
        (["x", "{file}"], ["no word of it has {prompt}"]),
        ([], ["command = []"]),
        ("x {prompt} {file}", ["valid tuple"]),
    ],
)
def test_a_wrong_command_is_one_sentence(tmp_path, words, parts):
    assert_refused(study(tmp_path, {"command": words}), *parts)


def test_braces_around_anything_else_are_literal(tmp_path):
    words = [sys.executable, "-c", "x = {0: 1}", '{"a": {prompt}}', "{file}"]
    assert spec({"command": words}).takes_image is False


def test_the_input_image_is_put_in(tmp_path):
    code = "import sys, shutil; shutil.copy(sys.argv[2], sys.argv[3])"
    command = spec({"command": [sys.executable, "-c", code, "{prompt}", "{input_image}", "{file}"]})
    assert command.takes_image  # so that prompts without one are refused
    Image.fromarray(noise("start")).save(tmp_path / "start.png")
    [request] = requests(["a cat"], [0])
    request = type(request)(request.prompt_id, request.prompt, 0, tmp_path / "start.png")
    [result] = load_pipeline(command).render([request])
    assert np.array_equal(np.asarray(result.image), noise("start"))
