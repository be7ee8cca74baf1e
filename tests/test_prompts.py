"""Prompt sets: what is read, what is refused with its row, what is drawn."""

from pathlib import Path

import pandas as pd
import pytest

from evalkit import tables
from evalkit.errors import EvalkitError, StudyError, TableError
from evalkit.prompts import builtin_sets, draw_prompts, read_prompts

PARTI = Path(__file__).parents[2] / "shared" / "data" / "prompts" / "PartiPrompts.tsv"

# Counts of google-research/parti, PartiPrompts.tsv.
CATEGORIES = {
    "Animals": 314, "Artifacts": 287, "World Knowledge": 214, "People": 177, "Outdoor Scenes": 131,
    "Illustrations": 124, "Vehicles": 104, "Food & Beverage": 74, "Arts": 66, "Abstract": 51,
    "Produce & Plants": 50, "Indoor Scenes": 40,
}  # fmt: skip
CHALLENGES = {
    "Fine-grained Detail": 312, "Basic": 272, "Simple Detail": 232, "Style & Format": 206,
    "Imagination": 150, "Complex": 113, "Writing & Symbols": 91, "Quantity": 90, "Perspective": 70,
    "Linguistic Structures": 61, "Properties & Positioning": 35,
}  # fmt: skip


@pytest.mark.skipif(not PARTI.is_file(), reason="PartiPrompts.tsv is not beside the project")
def test_partiprompts_is_read_whole():
    raw = [line.split("\t") for line in PARTI.read_text("utf-8").splitlines()][1:]
    prompts = read_prompts(str(PARTI), Path())
    assert len(prompts) == len(raw) == 1632
    assert prompts["category"].value_counts().to_dict() == CATEGORIES
    assert prompts["challenge"].value_counts().to_dict() == CHALLENGES
    assert prompts["prompt"].tolist() == [row[0].strip() for row in raw]
    assert sum(row[0] != row[0].strip() for row in raw) == 10
    assert prompts["prompt"].str.contains('"').sum() == 22
    assert prompts["prompt_id"].iloc[[0, -1]].tolist() == ["partiprompts-0001", "partiprompts-1632"]


@pytest.mark.skipif(not PARTI.is_file(), reason="PartiPrompts.tsv is not beside the project")
def test_partiprompts_keeps_its_texts_through_prompts_csv(tmp_path):
    prompts = read_prompts(str(PARTI), Path())
    tables.write(prompts, tmp_path / "prompts.csv", tables.PROMPTS)
    back = tables.read(tmp_path / "prompts.csv", tables.PROMPTS)
    pd.testing.assert_frame_equal(back, prompts)


def test_builtin_sets_are_sound():
    assert "scenes" in builtin_sets()
    for name in builtin_sets():
        prompts = read_prompts(name, Path())
        assert prompts["prompt_id"].is_unique
        assert (prompts["category"] != "").all()


def test_formats_give_the_same_table(tmp_path):
    (tmp_path / "p.tsv").write_text('Prompt\tCategory\tNote\n"red" is a cat \tA\tx\nNA\tB\ty\n')
    (tmp_path / "p.csv").write_text('prompt,category\n"""red"" is a cat",A\nNA,B\n')
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "\\"red\\" is a cat", "category": "A"}\n{"prompt": "NA", "category": "B"}\n'
    )
    expected = pd.DataFrame(
        {
            "prompt_id": ["p-1", "p-2"],
            "prompt": ['"red" is a cat', "NA"],
            "category": ["A", "B"],
            "challenge": ["", ""],
        }
    )
    for name in ("p.tsv", "p.csv", "p.jsonl"):
        found = read_prompts(name, tmp_path)
        assert found.to_dict("records") == expected.to_dict("records"), name


def test_own_ids_and_newlines_are_kept(tmp_path):
    (tmp_path / "p.csv").write_text('prompt_id,prompt\n0012,"two\nlines, one comma"\n')
    prompts = read_prompts("p.csv", tmp_path)
    assert prompts["prompt_id"].tolist() == ["0012"]
    assert prompts["prompt"].tolist() == ["two\nlines, one comma"]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("p.csv", "prompt,category\na cat,\n,x\n", ["row 2", "empty"]),
        ("p.csv", "prompt\na cat\na dog\n a cat \n", ["row 3", "row 1 already"]),
        ("p.csv", "prompt,category\na cat, red,X\n", ["more cells than the header"]),
        ("p.csv", "prompt,category\na,X\na cat, red,X\n", ["Expected 2 fields", "saw 3"]),
        ("p.csv", "prompt_id,prompt\np,a\np,b\n", ["prompt_id = p stands twice"]),
        ("p.csv", "Prompt,prompt\na,b\n", ["one column prompt", "found: prompt, prompt"]),
        ("p.csv", "text\na\n", ["one column prompt", "found: text"]),
        ("p.csv", "prompt\n", ["no prompts in it"]),
        ("p.csv", "", ["not readable as .csv"]),
        ("p.csv", 'prompt\n"a cat\n', ["not readable as .csv"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": null}\n', ["row 2", "empty"]),
        ("p.jsonl", "[1, 2]", ["one column prompt"]),
        ("p.jsonl", "prompt\na\n", ["not readable as .jsonl"]),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, name, text, parts):
    (tmp_path / name).write_text(text)
    with pytest.raises((StudyError, TableError)) as caught:
        read_prompts(name, tmp_path)
    for part in [*parts, name]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"prompt\n\xff\xfe\n")
    with pytest.raises(StudyError, match="not readable as .csv"):
        read_prompts("p.csv", tmp_path)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("scene", ["unknown source", 'did you mean "scenes"?']),
        ("p.parquet", ["unknown source", ".tsv, .csv, .jsonl"]),
        ("none.csv", ["no file", "none.csv", "scenes, partiprompts"]),
    ],
)
def test_an_unknown_source_names_the_known(tmp_path, source, parts):
    with pytest.raises(EvalkitError) as caught:
        read_prompts(source, tmp_path)
    for part in parts:
        assert part in str(caught.value)


def test_the_draw_is_seeded_and_keeps_the_order():
    prompts = pd.DataFrame({"prompt_id": [f"p{i:03d}" for i in range(100)]})
    first = draw_prompts(prompts, 10, "first", seed=1)
    drawn = draw_prompts(prompts, 10, "random", seed=1)
    assert first["prompt_id"].tolist() == [f"p{i:03d}" for i in range(10)]
    assert drawn["prompt_id"].is_monotonic_increasing
    assert drawn["prompt_id"].is_unique
    assert drawn.equals(draw_prompts(prompts, 10, "random", seed=1))
    assert not drawn.equals(draw_prompts(prompts, 10, "random", seed=2))
    assert len(draw_prompts(prompts, None, "first", seed=1)) == 100
    with pytest.raises(StudyError, match="n = 101, but the set has 100"):
        draw_prompts(prompts, 101, "first", seed=1)


def test_every_prompt_is_drawn_alike():
    prompts = pd.DataFrame({"prompt_id": list("abcdefghij")})
    counts = pd.concat(draw_prompts(prompts, 3, "random", seed) for seed in range(2000))
    shares = counts["prompt_id"].value_counts() / 2000  # expected .3, standard error .0102
    assert shares.between(0.3 - 5 * 0.0102, 0.3 + 5 * 0.0102).all()
