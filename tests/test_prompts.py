"""Prompt sets: what is read from each kind of source, what is refused or dropped with its row."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.errors import EvalkitError, StudyError, TableError
from evalkit.files import file_sha256
from evalkit.prompts import (
    builtin_sets,
    read_prompts,
)
from evalkit.study_sections import PromptSource
from tests.reference import FOLDER, needs_reference

PARTI = FOLDER / "prompts" / "PartiPrompts.tsv"
COLUMNS = ["prompt_id", "prompt", "category", "challenge"]

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


def read(source: str, folder: Path = Path(), **settings: object) -> pd.DataFrame:
    found = read_prompts(PromptSource(source=source, **settings), folder)
    return tables.check(found.table, tables.PROMPTS, source)


@needs_reference
def test_partiprompts_is_read_whole():
    raw = [line.split("\t") for line in PARTI.read_text("utf-8").splitlines()][1:]
    prompts = read(str(PARTI))
    assert len(prompts) == len(raw) == 1632
    assert prompts["category"].value_counts().to_dict() == CATEGORIES
    assert prompts["challenge"].value_counts().to_dict() == CHALLENGES
    assert prompts["prompt"].tolist() == [row[0].strip() for row in raw]
    assert sum(row[0] != row[0].strip() for row in raw) == 10
    assert prompts["prompt"].str.contains('"').sum() == 22
    assert prompts["prompt_id"].iloc[[0, -1]].tolist() == ["partiprompts-0001", "partiprompts-1632"]


@needs_reference
def test_partiprompts_keeps_its_texts_through_prompts_csv(tmp_path):
    prompts = read(str(PARTI))
    tables.write(prompts, tmp_path / "prompts.csv", tables.PROMPTS)
    back = tables.read(tmp_path / "prompts.csv", tables.PROMPTS)
    pd.testing.assert_frame_equal(back, prompts)


def test_builtin_sets_are_sound():
    assert "scenes" in builtin_sets()
    for name in builtin_sets():
        prompts = read(name)
        assert prompts["prompt_id"].is_unique
        assert (prompts["category"] != "").all()


def test_formats_give_the_same_table(tmp_path):
    (tmp_path / "p.tsv").write_text('Prompt\tCategory\tNote\n"red" is a cat \tA\tx\nNA\tB\ty\n')
    (tmp_path / "p.csv").write_text('prompt,category\n"""red"" is a cat",A\nNA,B\n')
    rows = [{"prompt": '"red" is a cat', "category": "A"}, {"prompt": "NA", "category": "B"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pd.DataFrame(rows).assign(vector=[[1.0], [2.0]]).to_parquet(tmp_path / "p.parquet")
    expected = pd.DataFrame(
        {
            "prompt_id": ["p-1", "p-2"],
            "prompt": ['"red" is a cat', "NA"],
            "category": ["A", "B"],
            "challenge": ["", ""],
        }
    )
    for name in ("p.tsv", "p.csv", "p.jsonl", "p.parquet"):
        found = read(name, tmp_path)
        assert found.to_dict("records") == expected.to_dict("records"), name


def test_own_ids_and_newlines_are_kept(tmp_path):
    (tmp_path / "p.csv").write_text('prompt_id,prompt\n0012,"two\nlines, one comma"\n')
    prompts = read("p.csv", tmp_path)
    assert prompts["prompt_id"].tolist() == ["0012"]
    assert prompts["prompt"].tolist() == ["two\nlines, one comma"]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("p.csv", "prompt,category\na cat,\n,x\n", ["row 3", "empty", 'blanks = "drop"']),
        ("p.csv", "prompt\na cat\n\na dog\n", ["row 3", "empty"]),
        ("p.csv", "prompt\na cat\na dog\n a cat \n", ["row 4", "row 2 already"]),
        ("p.csv", "prompt_id,prompt\np,a\n,b\n", ["row 3", "prompt_id is empty"]),
        ("p.csv", "prompt,category\na cat, red,X\n", ["more cells than the header"]),
        ("p.csv", "prompt,category\na,X\na cat, red,X\n", ["Expected 2 fields", "saw 3"]),
        ("p.csv", "prompt_id,prompt\np,a\np,b\n", ["row 3", "prompt_id = p stands twice"]),
        ("p.csv", "Prompt,prompt\na,b\n", ["one column prompt", "found: prompt, prompt"]),
        ("p.csv", "text\na\n", ["one column prompt", "found: text"]),
        ("p.csv", "prompt\n", ["no prompts in it"]),
        ("p.csv", "", ["not readable as .csv"]),
        ("p.csv", 'prompt\n"a cat\n', ["not readable as .csv"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": null}\n', ["row 2", "empty"]),
        ("p.jsonl", '{"prompt": "a"}\n\n{"prompt": "b"}\n', ["row 2", "empty"]),
        ("p.jsonl", "[1, 2]", ["row 1 is no object"]),
        ("p.txt", "a cat\na dog\na cat\n", ["row 3", "row 1 already"]),
        ("p.jsonl", "prompt\na\n", ["row 1 is no JSON (Expecting value at character 1)"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b"\n', ["row 2 is no JSON", "at character 15"]),
        ("p.jsonl", '{"prompt": ["x", "y"]}', ["row 1: prompt is a list", "texts and numbers"]),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": {"a": 1}}', ["row 2: prompt is a dict, {'a': 1}"]),
        ("p.jsonl", '{"prompt": "a", "category": true}', ["row 1: category is a bool, True"]),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, name, text, parts):
    (tmp_path / name).write_text(text)
    with pytest.raises((StudyError, TableError)) as caught:
        read(name, tmp_path)
    for part in [*parts, name]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_of_lists_is_refused_and_numbers_are_texts(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"prompt": [["a"], ["b"]]}).to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(TableError, match="lists.parquet: row 1: prompt is a"):
        read("lists.parquet", tmp_path)
    numbers = pd.DataFrame({"prompt": ["a", "b"], "id": [7, 8]})
    numbers.rename(columns={"id": "prompt_id"}).to_parquet(tmp_path / "numbers.parquet")
    assert read("numbers.parquet", tmp_path)["prompt_id"].tolist() == ["7", "8"]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"prompt\n\xff\xfe\n")
    with pytest.raises(StudyError, match="not readable as .csv"):
        read("p.csv", tmp_path)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("scene", ["unknown source", 'did you mean "scenes"?']),
        ("p.xlsx", ["unknown source", ".tsv, .csv, .jsonl, .parquet, .txt", "hub:OWNER/NAME"]),
        ("none.csv", ["no file", "none.csv", "general-100, scenes, partiprompts"]),
    ],
)
def test_an_unknown_source_names_the_known(tmp_path, source, parts):
    with pytest.raises(EvalkitError) as caught:
        read(source, tmp_path)
    for part in parts:
        assert part in str(caught.value)


def test_a_text_file_has_a_prompt_a_line(tmp_path):
    (tmp_path / "p.txt").write_text("a cat\na dog, red\n\n")
    prompts = read("p.txt", tmp_path)
    assert prompts["prompt"].tolist() == ["a cat", "a dog, red"]
    assert prompts["prompt_id"].tolist() == ["p-1", "p-2"]


def test_a_folder_has_a_prompt_a_file(tmp_path):
    for number in (10, 9, 2):
        (tmp_path / "dense").mkdir(exist_ok=True)
        (tmp_path / "dense" / f"item{number}.txt").write_text(f"scene {number}\n")
    prompts = read("dense", tmp_path)
    assert prompts["prompt_id"].tolist() == ["item2", "item9", "item10"]
    assert prompts["prompt"].tolist() == ["scene 2", "scene 9", "scene 10"]
    (tmp_path / "dense" / "item11.txt").write_text("scene 9")
    with pytest.raises(TableError, match=r"file item11\.txt: .* stands in file item9\.txt already"):
        read("dense", tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(StudyError, match=r"nothing: no \.txt file"):
        read("nothing", tmp_path)


def test_columns_of_other_names(tmp_path):
    (tmp_path / "p.csv").write_text("Key,Caption,Kind,Skill\nk1,a cat,x,y\n")
    settings = {
        "column": "Caption",
        "id_column": "key",
        "category_column": "Kind",
        "challenge_column": "Skill",
    }
    assert read("p.csv", tmp_path, **settings).to_dict("records") == [
        {"prompt_id": "k1", "prompt": "a cat", "category": "x", "challenge": "y"}
    ]
    with pytest.raises(StudyError, match=r'no column "text".*found: key, caption.*prompts.column'):
        read("p.csv", tmp_path, column="text")


@needs_reference
def test_geneval_has_its_tags_as_categories():
    # Counts of djghosh13/geneval, prompts/evaluation_metadata.jsonl.
    tags = {
        "single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100,
        "color_attr": 100,
    }  # fmt: skip
    prompts = read(str(FOLDER / "prompts" / "geneval_metadata.jsonl"))
    assert prompts["category"].value_counts().to_dict() == tags
    assert prompts["prompt"].iloc[0] == "a photo of a bench"


def test_dpg_bench_has_a_row_for_each_question(tmp_path):
    # The columns of TencentQQGYLab/ELLA, dpg_bench/dpg_bench.csv.
    header = (
        "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
        "question_natural_language\n"
    )
    (tmp_path / "dpg.csv").write_text(
        header
        + 'b7,"A red barn, and a cow.",,1,0,entity,whole,entity - whole (barn),Is there a barn?\n'
        + 'b7,"A red barn, and a cow.",,2,1,attribute,color,attribute - color (red),Is it red?\n'
        + 'b7,"A red barn, and a cow.",,3,0,entity,whole,entity - whole (cow),Is there a cow?\n'
        + "a2,Two pears.,,1,0,other,count,other - count (two),Are there two?\n"
    )
    prompts = read("dpg.csv", tmp_path)
    assert prompts["prompt_id"].tolist() == ["b7", "a2"]
    assert prompts["prompt"].tolist() == ["A red barn, and a cow.", "Two pears."]
    assert prompts["category"].tolist() == ["attribute + entity", "other"]
    found = read_prompts(PromptSource(source="dpg.csv"), tmp_path)
    assert found.table["place"].tolist() == ["row 2", "row 5"]
    with (tmp_path / "dpg.csv").open("a") as file:
        file.write("a2,Three pears.,,2,0,other,count,other - count (two),Are there two?\n")
    with pytest.raises(TableError, match="item_id a2 has two texts"):
        read("dpg.csv", tmp_path)


@needs_reference
def test_dpg_bench_as_a_table_of_texts():
    prompts = read(str(FOLDER / "prompts" / "dpg_bench_prompts.tsv"), id_column="id")
    assert len(prompts) == 1065
    assert prompts["prompt_id"].iloc[[0, -1]].tolist() == ["0", "whoops9"]


def test_what_is_dropped_is_reported(tmp_path):
    (tmp_path / "p.csv").write_text("prompt,category\na cat,x\n,x\na dog,x\n a cat,y\na cat,z\n")
    settings = PromptSource(source="p.csv", blanks="drop", duplicates="drop")
    found = read_prompts(settings, tmp_path)
    assert found.table["prompt"].tolist() == ["a cat", "a dog"]
    assert found.table["category"].tolist() == ["x", "x"]  # the first of the same is kept
    assert found.table["prompt_id"].tolist() == ["p-1", "p-3"]  # a name does not depend on the rule
    assert found.report() == [
        f"{tmp_path / 'p.csv'}: 2 of 5 rows dropped as duplicates of an earlier row: rows 5, 6",
        f"{tmp_path / 'p.csv'}: 1 of 5 rows dropped as blank: row 3",
    ]
    record = found.record()
    assert record["dropped"] == {"duplicate": 2, "blank": 1, "over_long": 0}
    assert (record["rows"], record["kept"]) == (5, 2)
    assert record["sha256"] == file_sha256(tmp_path / "p.csv")
    assert record["dropped_rows"][0] == {"place": "row 3", "prompt": "", "reason": "blank"}
    (tmp_path / "blank.csv").write_text('prompt,category\n,x\n"  ",y\n')
    with pytest.raises(StudyError, match="no prompts in it"):
        read("blank.csv", tmp_path, blanks="drop")


def test_a_long_report_is_cut(tmp_path):
    (tmp_path / "p.txt").write_text("a cat\n" * 13)
    found = read_prompts(PromptSource(source="p.txt", duplicates="drop"), tmp_path)
    assert found.report()[0].endswith("rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more")


@pytest.fixture(scope="module")
def hub_set(tmp_path_factory):
    """A data set as a repository of the hub has it: two splits, a picture beside each text."""
    datasets = pytest.importorskip("datasets")
    root = tmp_path_factory.mktemp("hub") / "own-set"
    picture = Image.new("RGB", (8, 8), "red")
    for split, texts in (("train", ["a cat", "a dog"]), ("test", ["an owl"])):
        data = {"Text": texts, "picture": [picture] * len(texts), "number": range(len(texts))}
        features = datasets.Features(
            {
                "Text": datasets.Value("string"),
                "picture": datasets.Image(),
                "number": datasets.Value("int64"),
            }
        )
        (root / "data").mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(data, features=features).to_parquet(
            root / "data" / f"{split}-00000-of-00001.parquet"
        )
    return root


def test_a_data_set_of_the_hub(hub_set, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    prompts = read(f"hub:{hub_set}", column="text", split="train", id_column="number")
    assert prompts["prompt"].tolist() == ["a cat", "a dog"]
    assert prompts["prompt_id"].tolist() == ["0", "1"]
    prompts = read(f"hub:{hub_set}", column="text", split="test")
    assert prompts["prompt_id"].tolist() == ["own-set-1"]
    with pytest.raises(
        StudyError, match=r"several splits.*train, test|several splits.*test, train"
    ):
        read(f"hub:{hub_set}", column="text")
    with pytest.raises(StudyError, match=r'Unknown split "dev"'):
        read(f"hub:{hub_set}", column="text", split="dev")


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch):
    datasets, hub = pytest.importorskip("datasets"), pytest.importorskip("huggingface_hub")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'some/set' on the Hub\nmore")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(hub, "hf_hub_download", unreachable)
    for source, remedy in (("hub:some/set", "a file of it"), ("partiprompts", "PartiPrompts.tsv")):
        with pytest.raises(StudyError, match="could not be read.*ConnectionError") as caught:
            read(source)
        assert remedy in str(caught.value)
        assert "\n" not in str(caught.value)


@needs_reference
def test_partiprompts_from_the_hub_are_those_of_the_file(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    commit = "0123456789abcdef" * 2 + "01234567"
    cached = tmp_path / "datasets--nateraw--parti-prompts" / "snapshots" / commit
    cached.mkdir(parents=True)
    shutil.copy(PARTI, cached)
    asked = {}

    def download(repository: str, name: str, **settings: object) -> str:
        asked.update(settings, repository=repository)
        return str(cached / name)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    found = read_prompts(PromptSource(source="partiprompts", revision="v1"), Path())
    pd.testing.assert_frame_equal(found.table[COLUMNS], read(str(PARTI)), check_dtype=False)
    assert asked["repository"] == "nateraw/parti-prompts"
    assert (asked["repo_type"], asked["revision"]) == ("dataset", "v1")
    assert found.origin["commit"] == commit
    assert found.origin["sha256"].startswith("fab29e41bb51")


def test_settings_of_the_hub_beside_a_file_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("prompt\na\n")
    with pytest.raises(StudyError, match='split = "train" changes nothing for the source "p.csv"'):
        read("p.csv", tmp_path, split="train")
