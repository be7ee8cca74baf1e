"""How far long work is, as it is told while it goes on; and what a terminal and a pipe show."""

import pandas as pd

from evalkit.collection import open_collection
from evalkit.leaks.key import public_key
from evalkit.leaks.pictures import compare_pictures
from evalkit.progress import progress_bar
from evalkit.vote_files import out_of_core
from tests.study_factory import NOW, make_study


class Told:
    """A progress that remembers."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, total, label):
        self.calls.append((done, total, label))


def test_blinding_and_its_check_count_the_public_images(tmp_path):
    folder, blinding, checking = make_study(tmp_path / "study", n_prompts=2), Told(), Told()
    with_store = open_collection(folder, NOW, blinding)
    n = len(list(folder.blinded.iterdir()))
    assert n >= 6  # 3 models x 2 prompts, and what the checks show
    assert blinding.calls == [(done, n, "blinding") for done in range(1, n + 1)]
    again = Told()
    open_collection(folder, NOW, again).close()
    assert again.calls == []  # all is there
    key = public_key(folder, with_store)
    compare_pictures(folder.blinded, folder.images, key, 64, {}, checking)
    with_store.close()
    assert checking.calls == [(done, n, "public images") for done in range(1, n + 1)]


def test_votes_on_the_disk_count_their_parts_twice(tmp_path, monkeypatch):
    """Once by prompt, once by annotator: 30 votes in parts of 10 are 2 x 3 parts."""
    rows = [
        {"annotator_id": f"a{i % 5}", "prompt_id": f"p{i % 6}", "question_id": "quality",
         "model_a": "x", "model_b": "y", "winner": ["model_a", "model_b", "tie"][i % 3]}
        for i in range(30)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "votes.parquet")
    monkeypatch.setattr(out_of_core, "_PART", 10)
    told = Told()
    out_of_core.read_large(tmp_path / "votes.parquet", told)
    assert told.calls == [(done, 6, "parts of the votes") for done in range(1, 7)]


def test_nothing_is_drawn_before_there_is_something_to_show(capfd):
    with progress_bar("images"):
        pass
    assert capfd.readouterr() == ("", "")
    with progress_bar("images") as progress:
        progress(1, 2, "blinding")
    out, err = capfd.readouterr()
    assert out == "" and "blinding" in err and "1/2" in err
    with progress_bar("images", in_pipe=False) as progress:
        progress(1, 2, "blinding")
    assert capfd.readouterr() == ("", "")
