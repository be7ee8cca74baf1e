"""Votes from elsewhere: every way of keeping them, and every cell that is refused at the door."""

import json

import duckdb
import numpy as np
import pandas as pd
import pytest

from evalkit import tables
from evalkit.errors import TableError
from evalkit.vote_files import read_vote_file, read_votes

COLUMNS = ["annotator_id", "prompt_id", "question_id", "model_a", "model_b", "winner", "left_model"]
VOTES = [
    ("ann", "p1", "quality", "x", "y", "model_a", "x"),
    ("bob", "p1", "quality", "y", "x", "tie", ""),
    ("ann", "p2", "quality", "x", "y", "both_bad", "y"),
]


def frame(rows=VOTES, columns=COLUMNS):
    return pd.DataFrame(rows, columns=columns, dtype=object)


def write(path, table):
    """The table in the format of the path's ending."""
    if path.suffix == ".jsonl":
        path.write_text(table.to_json(orient="records", lines=True))
    elif path.suffix == ".parquet":
        duckdb.from_df(table).write_parquet(str(path))
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


ENDINGS = [".csv", ".tsv", ".jsonl", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_gives_the_same_votes(tmp_path, ending):
    table = frame().assign(response_ms=[900, 1200, 3000], category=["Animals", "", "Arts"])
    found = read_votes(write(tmp_path / f"votes{ending}", table))
    assert found["response_ms"].tolist() == [900, 1200, 3000]
    for name in [*COLUMNS, "category"]:
        assert found[name].tolist() == table[name].tolist()


def test_numbers_of_a_typed_file_are_the_same_ids(tmp_path):
    """A whole number is the same id as an integer, as a float of Parquet, and as a text."""
    typed = frame().assign(annotator_id=[7.0, 8.0, 7.0], prompt_id=[1, 1, 2])
    for ending in (".parquet", ".jsonl"):
        found = read_votes(write(tmp_path / f"votes{ending}", typed))
        assert found["annotator_id"].tolist() == ["7", "8", "7"]
        assert found["prompt_id"].tolist() == ["1", "1", "2"]


def test_an_empty_time_is_missing_and_no_rows_are_no_votes(tmp_path):
    table = frame().assign(response_ms=["900", "", "20"])
    found = read_votes(write(tmp_path / "votes.csv", table))["response_ms"]
    np.testing.assert_array_equal(found, [900, np.nan, 20])
    for ending in ENDINGS[:2]:
        assert read_votes(write(tmp_path / f"none{ending}", frame([]))).empty


BAD = [  # changed cells of the second vote, and what the sentence says
    ({"winner": "modela"}, ['winner: "modela"', "model_a, model_b, tie, both_bad", "did you mean"]),
    ({"winner": "Tie"}, ['winner: "Tie"']),
    ({"model_b": "y"}, ['model_a: "y" is compared with itself']),
    ({"model_a": "y "}, ['model_a: "y " has blanks around it']),
    ({"left_model": "z"}, ['left_model: "z" is neither model_a nor model_b']),
    ({"prompt_id": ""}, ["prompt_id: an empty cell"]),
    ({"prompt_id": "  "}, ["prompt_id: an empty cell"]),
    ({"annotator_id": "nan"}, ['annotator_id: "nan" stands for a missing value']),
    ({"question_id": "None"}, ['question_id: "None" stands for a missing value']),
    ({"response_ms": "1.5"}, ['response_ms: "1.5"; allowed is a whole number']),
    ({"response_ms": "-3"}, ['response_ms: "-3"']),
    ({"response_ms": "inf"}, ['response_ms: "inf"']),
    ({"kind": "mian"}, ['kind: "mian"', 'did you mean "main"']),
    ({"trial_id": "t1"}, ['trial_id: "t1" stands twice']),
    ({"vote_source": "made up"}, ['vote_source: "made up"']),
    ({"response_ms": "٣"}, ['response_ms: "٣"; allowed is a whole number']),
    ({"response_ms": "9" * 27}, ["at most 15 digits"]),
    ({"trial_id": ""}, ["trial_id: an empty cell"]),
    ({"trial_id": " t2"}, ['trial_id: " t2" has blanks around it']),
    ({"trial_id": "t2\u2003"}, ["trial_id: ", "has blanks around it"]),
    ({"trial_id": "NA"}, ['trial_id: "NA" stands for a missing value']),
    ({"trial_id": "t\u200b2"}, ["trial_id: ", "not seen (U+200B)"]),
    ({"annotator_id": "b\tob"}, [r'annotator_id: "b\tob" holds a character', "(U+0009)"]),
    ({"annotator_id": "an n"}, ['annotator_id: "an n" differs by a blank from "ann"']),
    ({"prompt_id": "p 1"}, ['prompt_id: "p 1" differs by a blank from "p1"']),
    ({"winner": "tie\nno"}, [r'winner: "tie\nno"; allowed']),
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("changes", "parts"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_cell_is_refused_with_its_place(tmp_path, ending, changes, parts):
    table = frame().assign(response_ms="900", kind="main", trial_id=["t1", "t2", "t3"])
    table = table.assign(vote_source="")
    for name, value in changes.items():
        table.loc[1, name] = value
    path = write(tmp_path / f"votes{ending}", table)
    place = {".parquet": "row 2", ".jsonl": "line 2"}.get(ending, "line 3")
    with pytest.raises(TableError) as refused:
        read_votes(path)
    assert str(refused.value).startswith(f"{path}: {place}, column ")
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize("other", ["sd xl", "sdx l", "s dxl"])
def test_a_name_that_differs_by_a_blank_is_refused(tmp_path, other):
    rows = [("a", "p", "q", "sdxl", "y", "tie", ""), ("b", "p", "q", "y", other, "tie", "")]
    path = write(tmp_path / "votes.csv", frame(rows))
    with pytest.raises(TableError, match=f'line 3, column model_b: "{other}" differs by a blank'):
        read_votes(path)


def test_nan_of_a_typed_file_is_an_empty_cell(tmp_path):
    table = frame().assign(prompt_id=[1.0, np.nan, 2.0])
    for ending in (".parquet", ".jsonl"):
        path = write(tmp_path / f"votes{ending}", table)
        with pytest.raises(TableError, match="2, column prompt_id: an empty cell"):
            read_votes(path)


def test_a_second_main_vote_on_the_same_images_is_refused_and_a_repeat_is_not(tmp_path):
    rows = [VOTES[0], VOTES[0]]
    table = frame(rows).assign(pair_id="k1", kind=["main", "repeat"])
    assert len(read_votes(write(tmp_path / "votes.csv", table))) == 2
    path = write(tmp_path / "votes.csv", table.assign(kind="main"))
    with pytest.raises(TableError, match='line 3, column pair_id: "k1" has a second vote of ann'):
        read_votes(path)


def test_lines_are_those_of_an_editor_where_a_cell_goes_over_several(tmp_path):
    path = tmp_path / "votes.csv"
    header = ",".join([*COLUMNS, "note"])
    path.write_text(f'{header}\na,p,q,x,y,tie,x,"one\ntwo"\na,p,q,x,x,tie,x,three\n')
    with pytest.raises(TableError, match="line 4, column model_a"):
        read_votes(path)


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("votes.csv", "", "is empty"),
        ("votes.csv", f"{HEADER}\na,p,q,x,y,tie\n", "line 2: 6 cells; allowed are 7"),
        ("votes.csv", f"{HEADER}\na,p,q,x,y,tie,x,x\n", "line 2: 8 cells; allowed are 7"),
        ("votes.csv", f'{HEADER}\na,"p,q,x,y,tie,x\n', "cannot be read as a table"),
        ("votes.csv", f"{HEADER},winner\n", "column winner stands twice"),
        ("votes.csv", HEADER.replace(",", ";"), "semicolons"),
        ("votes.csv", HEADER.replace("winner", "winer"), 'winner is missing.*"winer"'),
        ("votes.jsonl", '{"winner": "tie"\n', "line 1: cannot be read .*JSON object per line"),
        (
            "votes.jsonl",
            '{"winner": "tie", "winner": "model_a"}\n',
            'line 1: .*"winner" stands twice',
        ),
        ("votes.jsonl", "[" * 100_000 + "\n", "line 1: cannot be read .*recursion"),
        ("votes.jsonl", '{"winner": "a\\ud800"}\n', "line 1, column winner: half of a character"),
        ("votes.jsonl", "[1, 2]\n", r"line 1: \[1, 2\]; allowed is an object"),
        ("votes.jsonl", '{"winner": ["tie"]}\n', "line 1, column winner: a list"),
        ("votes.parquet", "annotator_id", "cannot be read as Parquet"),
        ("votes.txt", "", 'the ending ".txt"; allowed are .csv, .tsv, .jsonl, .parquet'),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TableError, match=message):
        read_votes(path)


def test_a_file_that_is_not_there_and_a_format_that_is_not_known(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_votes(tmp_path / "votes.parquet")
    with pytest.raises(TableError, match='--format: "arina".*did you mean "arena"'):
        read_votes(tmp_path / "votes.csv", "arina")


ARENA = pd.DataFrame(
    {
        "question_id": ["c1", "c2", "c3", "c4"],
        "model_a": ["x", "x", "y", "x"],
        "model_b": ["y", "z", "z", "y"],
        "winner": ["model_a", "tie", "tie (bothbad)", "model_b"],
        "judge": ["arena_user_1", "arena_user_1", "arena_user_2", "arena_user_3"],
        "anony": [True, True, True, False],
        "language": ["English", "German", "English", "English"],
    }
)


def test_an_arena_log(tmp_path):
    """A battle with the names shown is no blind vote: it is left out, and counted."""
    path = write(tmp_path / "battles.jsonl", ARENA.assign(conversation_a=[[{"role": "user"}]] * 4))
    file = read_vote_file(path, "arena", also=["language"])
    found = file.comparisons
    assert found["winner"].tolist() == ["model_a", "tie", "both_bad"]
    assert found["prompt_id"].tolist() == ["c1", "c2", "c3"]
    assert found["annotator_id"].tolist() == ["arena_user_1", "arena_user_1", "arena_user_2"]
    assert found["language"].tolist() == ["English", "German", "English"]
    assert set(found["question_id"]) == {"preference"}
    assert file.left_out == {"the names were shown (anony is false)": 1}
    assert file.unknown == ()


def test_an_arena_log_without_people_or_prompts_says_so(tmp_path):
    path = write(tmp_path / "battles.csv", ARENA[["model_a", "model_b", "winner"]])
    file = read_vote_file(path, "arena")
    assert file.unknown == ("prompt_id", "annotator_id")
    assert file.comparisons["annotator_id"].tolist() == ["line-2", "line-3", "line-4", "line-5"]


def test_an_arena_winner_that_is_not_known_is_refused(tmp_path):
    path = write(
        tmp_path / "battles.csv", ARENA.assign(winner=["model_a", "bothbad", "tie", "tie"])
    )
    with pytest.raises(TableError, match=r'line 3, column winner: "bothbad".*tie \(bothbad\)'):
        read_votes(path, "arena")


def test_a_format_is_guessed_for_the_message_only(tmp_path):
    path = write(tmp_path / "battles.csv", ARENA.drop(columns="anony"))
    with pytest.raises(TableError, match="annotator_id is missing.*looks like --format arena"):
        read_votes(path)


def test_an_export_without_annotators_is_called_one_and_no_log_of_others(tmp_path):
    votes = frame().drop(columns="annotator_id").assign(left_model="x", kind="main")
    path = write(tmp_path / "votes.csv", votes)
    with pytest.raises(TableError, match="annotator_id is missing.*without --drop-annotators") as e:
        read_votes(path)
    assert "arena" not in str(e.value)


@pytest.mark.parametrize("own", ["vote_source", "kind", "excluded_by", "annotator_id", "prompt_id"])
def test_a_table_of_evalkit_is_not_read_as_a_log_of_others(tmp_path, own):
    """Its label would be lost, and votes on two questions would be one question's."""
    path = write(tmp_path / "votes.csv", ARENA.assign(**{own: ""}))
    column = "question_id" if own == "prompt_id" else own
    with pytest.raises(TableError, match=f"column {column} is evalkit's.*--format evalkit"):
        read_votes(path, "arena")


def test_an_ending_in_capitals_is_the_same_ending(tmp_path):
    for ending in ENDINGS:
        path = write(tmp_path / f"votes{ending}", frame())
        path = path.rename(path.with_suffix(ending.upper()))
        assert len(read_votes(path)) == len(VOTES)


def test_a_file_whose_end_is_whole_and_whose_rows_are_damaged_is_refused(tmp_path):
    """The end of a Parquet file says what is in it; the rows stand before it."""
    for at in (4, 40):
        path = write(tmp_path / "votes.parquet", frame(VOTES * 500))
        content = bytearray(path.read_bytes())
        content[at : at + 64] = bytes((one * 7 + 131) % 256 for one in content[at : at + 64])
        path.write_bytes(content)
        with pytest.raises(TableError, match="cannot be read as Parquet"):
            read_votes(path)


def test_cells_of_a_further_column_are_checked(tmp_path):
    path = write(tmp_path / "votes.csv", frame().assign(gender=["male", " male", ""]))
    with pytest.raises(TableError, match='line 3, column gender: " male" has blanks around it'):
        read_vote_file(path, also=["gender"])


PICKS = pd.DataFrame(
    {
        "ranking_id": [1, 2, 3, 4, 5],
        "user_id": [10, 10, 11, 12, 12],
        "caption": ["a cat", "a dog", "a cat", "a cat", "a bird"],
        "model_0": ["x", "y", "x", "x", "x"],
        "model_1": ["y", "x", "y", "x", "y"],
        "label_0": [1.0, 0.0, 0.5, 1.0, 0.5],
        "label_1": [0.0, 1.0, 0.5, 0.0, 0.5],
        "has_label": [True, True, True, True, False],
    }
)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_pick_a_pic(tmp_path, ending):
    file = read_vote_file(write(tmp_path / f"picks{ending}", PICKS), "pickapic")
    found = file.comparisons
    assert found["winner"].tolist() == ["model_a", "model_b", "tie"]
    assert found["annotator_id"].tolist() == ["10", "10", "11"]
    assert found["trial_id"].tolist() == ["1", "2", "3"]
    prompts = found["prompt_id"].tolist()
    assert prompts[0] == prompts[2] != prompts[1]
    assert file.left_out == {"no label (has_label is false)": 1, "two images of one model": 1}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label_0", 0.7, 'row 2, column label_0: "0.7" with label_1 "1"'),
        ("label_1", 0.0, 'row 2, column label_0: "0" with label_1 "0"'),
        ("model_0", None, "row 2, column model_0: an empty cell"),
        ("caption", "", "row 2, column caption: an empty cell"),
    ],
)
def test_a_pick_that_is_not_understood_is_refused(tmp_path, column, value, message):
    table = PICKS.astype(object)
    table.loc[1, column] = value
    table = table.astype(dict.fromkeys(["label_0", "label_1"], float))
    path = write(tmp_path / "picks.parquet", table)
    with pytest.raises(TableError, match=message):
        read_votes(path, "pickapic")


def test_simulated_votes_stay_labelled(tmp_path):
    table = frame().assign(vote_source=[tables.SIMULATED, "", tables.SIMULATED])
    assert tables.is_simulated(read_votes(write(tmp_path / "votes.jsonl", table)))


def test_text_is_utf_8_and_a_list_in_a_column_that_nobody_asks_for_is_none_of_ours(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_bytes(HEADER.encode() + "\nä,p,q,x,y,tie,x\n".encode("latin-1"))
    with pytest.raises(TableError, match="save it as CSV in UTF-8"):
        read_votes(path)
    path = tmp_path / "votes.jsonl"
    path.write_text(json.dumps(dict(zip(COLUMNS, VOTES[0], strict=True)) | {"x": [1]}) + "\n")
    assert len(read_votes(path)) == 1  # a list in a column that nobody asks for
