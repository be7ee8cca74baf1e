"""Tables: columns checked at the door, mistakes named by their line."""

import pandas as pd
import pytest

from evalkit import tables
from evalkit.errors import TableError

VOTES = "annotator_id,prompt_id,question_id,model_a,model_b,winner\n"


def read(tmp_path, text, table=tables.IMPORTED_VOTES):
    path = tmp_path / "votes.csv"
    path.write_text(text)
    return tables.read(path, table)


def test_reads_text_ids_and_keeps_leading_zeros(tmp_path):
    frame = read(tmp_path, VOTES + "007,010,quality,x,NA,model_a\n")
    assert frame.iloc[0].to_dict() == {
        "annotator_id": "007",
        "prompt_id": "010",
        "question_id": "quality",
        "model_a": "x",
        "model_b": "NA",
        "winner": "model_a",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,p,q,x,y,modl_a", r'line 3, column winner: "modl_a"; .*did you mean "model_a"'),
        ("a,p,q,x,,tie", "line 3, column model_b: an empty cell"),
        ("a, ,q,x,y,tie", "line 3, column prompt_id: an empty cell"),
    ],
)
def test_a_bad_cell_is_refused_with_its_line(tmp_path, row, message):
    with pytest.raises(TableError, match=message):
        read(tmp_path, VOTES + "a,p,q,x,y,tie\n" + row + "\n")


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    with pytest.raises(TableError, match='column winner is missing.*rename "winer" if that is it'):
        read(tmp_path, VOTES.replace("winner", "winer") + "a,p,q,x,y,tie\n")


def test_a_whole_number_is_asked_for(tmp_path):
    text = VOTES.replace("\n", ",response_ms\n")
    assert read(tmp_path, text + "a,p,q,x,y,tie,900\n")["response_ms"].tolist() == [900]
    with pytest.raises(TableError, match='line 2, column response_ms: "9.5"'):
        read(tmp_path, text + "a,p,q,x,y,tie,9.5\n")


def test_a_key_that_stands_twice_is_refused():
    row = {"prompt_id": "p", "prompt": "a cat", "category": "", "challenge": ""}
    with pytest.raises(TableError, match="line 3: prompt_id = p stands twice"):
        tables.check(pd.DataFrame([row, row]), tables.PROMPTS, "here")


def test_what_is_written_reads_back_the_same(tmp_path):
    frame = pd.DataFrame(
        {
            "question_id": ["quality"], "model": ['a "quoted", name'], "rating": [0.1 + 0.2],
            "ci_low": [float("nan")], "ci_high": [float("nan")], "elo": [1000.0],
            "rank_low": [1.0], "rank_high": [2.0], "n": [3], "method": ["m"], "converged": [True],
        }
    )  # fmt: skip
    checked = tables.check(frame, tables.RATINGS, "here")
    tables.write(checked, tmp_path / "ratings.csv", tables.RATINGS)
    pd.testing.assert_frame_equal(tables.read(tmp_path / "ratings.csv", tables.RATINGS), checked)


def test_no_file_and_no_table_are_sentences(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        tables.read(tmp_path / "none.csv", tables.VOTES)
    with pytest.raises(TableError, match="is empty"):
        read(tmp_path, "")
    with pytest.raises(TableError, match="line 2: 8 cells; allowed are 6"):
        read(tmp_path, VOTES + "a,p,q,x,y,tie,too,many\n")


def test_simulated_votes_are_labelled_in_every_row():
    frame = pd.DataFrame({"n": [1, 2]})
    labelled = tables.label_simulated(frame, True)
    assert labelled["vote_source"].tolist() == ["SIMULATED VOTES"] * 2
    assert tables.is_simulated(labelled)
    assert not tables.is_simulated(tables.label_simulated(frame, False))


def test_a_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(TableError, match="column winner stands twice"):
        read(tmp_path, VOTES.replace("\n", ",winner\n") + "a,p,q,x,y,tie,tie\n")


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "a\\x.png", "a\0x.png"])
def test_a_file_outside_its_folder_is_refused(name):
    prompts = pd.DataFrame(
        {"prompt_id": ["p"], "prompt": ["a"], "category": [""], "challenge": [""]}
    ).assign(input_image=name, input_sha256="")
    with pytest.raises(TableError, match="line 2, column input_image: .*a path below its folder"):
        tables.check(prompts, tables.PROMPTS, "here")
    for allowed in ("inputs/a..b.png", ""):
        fine = tables.check(prompts.assign(input_image=allowed), tables.PROMPTS, "here")
        assert fine["input_image"].tolist() == [allowed]
    assert tables.check(prompts.iloc[:0], tables.PROMPTS, "here").empty
