"""Exports with images in them: data sets that `datasets` loads, preference pairs, Pick-a-Pic."""

import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.errors import EvalkitError, StudyError
from evalkit.exports import export_study
from evalkit.exports.preferences import NO_MAJORITY
from evalkit.result_tables import analyze_file, analyze_study
from evalkit.study_folder import StudyFolder
from tests.exported import people_study, simulated_study

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("simulated") / "study")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return people_study(tmp_path_factory.mktemp("people") / "study")


def load(path, name, cache):
    """As anybody loads it, without a network and without an earlier cache."""
    return datasets.load_dataset(str(path), name, split="train", cache_dir=str(cache))


def picture_of(folder, image_id):
    files = folder.read_images().set_index("image_id")["file_name"]
    return Image.open(folder.images / files[image_id]).convert("RGB")


def counted_votes(folder, tmp_path):
    """The main votes that count, as the analysis has them."""
    votes = analyze_study(folder, out=tmp_path / "tables")["comparisons"]
    return votes[(votes["kind"] == "main") & (votes["excluded_by"] == "")]


# A data set of images and votes


def test_both_configurations_load_and_join_by_image(people, tmp_path):
    export_study(people, tmp_path / "out", "datasets")
    images = load(tmp_path / "out", "images", tmp_path / "cache")
    votes = load(tmp_path / "out", "comparisons", tmp_path / "cache")
    assert len(images) == 4 * 3  # prompts x models
    assert isinstance(images.features["image"], datasets.Image)
    for row in images:
        expected = picture_of(people, row["image_id"])
        assert np.array_equal(np.asarray(row["image"].convert("RGB")), np.asarray(expected))
    ids = set(images["image_id"])
    assert {*votes["image_a"], *votes["image_b"]} <= ids
    export_study(people, tmp_path / "csv")
    csv = pd.read_csv(tmp_path / "csv" / "votes.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(votes.to_pandas(), csv, check_dtype=False)


def test_the_card_names_the_configurations_and_leaves_the_licence_to_the_authors(people, tmp_path):
    from huggingface_hub import DatasetCard

    export_study(people, tmp_path / "out", "datasets")
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "unknown"
    assert [config["config_name"] for config in card.data.configs] == ["images", "comparisons"]
    assert "text-to-image" in card.data.tags
    assert "to be filled in by the authors" in card.text
    assert sorted(datasets.get_dataset_config_names(str(tmp_path / "out"))) == [
        "comparisons", "images",
    ]  # fmt: skip


def test_a_simulated_data_set_says_so_in_tags_and_rows(simulated, tmp_path):
    export_study(simulated, tmp_path / "out", "datasets")
    assert "- simulated-votes" in (tmp_path / "out" / "README.md").read_text("utf-8")
    for name in ("images", "comparisons"):
        found = load(tmp_path / "out", name, tmp_path / "cache")
        assert set(found["vote_source"]) == {tables.SIMULATED}


def test_without_the_library_the_format_is_refused_and_tables_are_not(people, tmp_path):
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from pathlib import Path\n"
        "from evalkit.errors import EvalkitError\n"
        "from evalkit.exports import export_study\n"
        "from evalkit.study_folder import StudyFolder\n"
        "folder, out = StudyFolder(Path(sys.argv[1])), Path(sys.argv[2])\n"
        "for form in ('csv', 'parquet'):\n"
        "    export_study(folder, out / form, form)\n"
        "try:\n"
        "    export_study(folder, out / 'datasets', 'datasets')\n"
        "except EvalkitError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(people.root), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True)
    assert "this format needs datasets, which is not installed; run: pip install" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "parquet"]


# Preference pairs


@pytest.mark.parametrize("whose", ["people", "simulated"])
def test_the_chosen_image_has_the_majority_and_pairs_without_one_are_counted(
    request, tmp_path, whose
):
    folder = request.getfixturevalue(whose)
    done = export_study(folder, tmp_path / "out", "preference")
    rows = load(tmp_path / "out", "default", tmp_path / "cache")
    votes = counted_votes(folder, tmp_path)
    pairs = tables.read(folder.pairs_file, tables.PAIRS).set_index("pair_id")
    prompts = folder.read_prompts().set_index("prompt_id")["prompt"]
    cast = {key: list(asked["winner"]) for key, asked in votes.groupby(["question_id", "pair_id"])}
    even = [key for key, won in cast.items() if won.count("model_a") == won.count("model_b")]
    assert done.left_out == {NO_MAJORITY: len(even)}
    assert len(rows) == len(cast) - len(even) > 0
    for row in rows:
        won, pair = cast.pop((row["question_id"], row["pair_id"])), pairs.loc[row["pair_id"]]
        a, b = won.count("model_a"), won.count("model_b")
        chosen, rejected = ("a", "b") if a > b else ("b", "a")
        for side, name in ((chosen, "chosen"), (rejected, "rejected")):
            assert row[f"model_{name}"] == pair[f"model_{side}"]
            assert row[f"image_{name}"] == pair[f"image_{side}"]
            shown = np.asarray(row[name].convert("RGB"))
            assert np.array_equal(shown, np.asarray(picture_of(folder, pair[f"image_{side}"])))
        assert row["prompt"] == prompts[row["prompt_id"]] == prompts[pair["prompt_id"]]
        assert (row["votes_for"], row["votes_against"]) == (max(a, b), min(a, b))
        assert (row["ties"], row["both_bad"]) == (won.count("tie"), won.count("both_bad"))
        assert row["margin"] == pytest.approx(abs(a - b) / len(won))
        assert row["question"] == folder.study.question(row["question_id"]).text
    assert sorted(cast) == sorted(even)


# Pick-a-Pic


@pytest.mark.parametrize("whose", ["people", "simulated"])
def test_a_pick_a_pic_export_reads_back_as_the_votes_that_it_came_from(request, tmp_path, whose):
    """Of each question the win rates of all votes but those for both bad; people counted alike."""
    folder = request.getfixturevalue(whose)
    done = export_study(folder, tmp_path / "out", "pickapic")
    votes = counted_votes(folder, tmp_path)
    kept = votes[votes["winner"] != "both_bad"]
    assert sum(done.rows.values()) == len(kept)
    assert any("both_bad" in why for why in done.left_out) == (len(kept) < len(votes))
    for question_id, asked in kept.groupby("question_id"):
        file = tmp_path / "out" / "data" / f"{question_id}.parquet"
        found = analyze_file(file, tmp_path / question_id, format="pickapic")["win_rates"]
        given = tmp_path / f"{question_id}.csv"
        asked.to_csv(given, index=False)
        expected = analyze_file(given, tmp_path / f"{question_id}-given")["win_rates"]
        numbers = [
            "wins_a", "wins_b", "ties", "n", "n_prompts", "n_annotators", "win_rate_a", "ci_low",
            "ci_high", "p_value",
        ]  # fmt: skip
        names = ["model_a", "model_b"]
        assert found[names].values.tolist() == expected[names].values.tolist()
        np.testing.assert_allclose(found[numbers], expected[numbers], rtol=1e-12)
        assert tables.is_simulated(found) == (whose == "simulated")


def test_pick_a_pic_rows_have_its_columns_and_the_left_image_first(people, tmp_path):
    export_study(people, tmp_path / "out", "pickapic")
    file = tmp_path / "out" / "data" / "quality.parquet"
    found = pd.read_parquet(file).sort_values("ranking_id")
    assert set(found.columns) == {
        "are_different", "best_image_uid", "caption", "created_at", "has_label", "image_0_uid",
        "image_0_url", "image_1_uid", "image_1_url", "jpg_0", "jpg_1", "label_0", "label_1",
        "model_0", "model_1", "ranking_id", "user_id", "num_example_per_prompt",
    }  # fmt: skip
    votes = counted_votes(people, tmp_path)
    votes = votes[(votes["question_id"] == "quality") & (votes["winner"] != "both_bad")]
    prompts = people.read_prompts().set_index("prompt_id")["prompt"]
    assert found["model_0"].tolist() == votes["left_model"].tolist()
    assert found["caption"].tolist() == prompts[votes["prompt_id"]].tolist()
    for row in found.to_dict("records"):
        labels = (row["label_0"], row["label_1"])
        uids = (row["image_0_uid"], row["image_1_uid"])
        best = {(1.0, 0.0): uids[0], (0.0, 1.0): uids[1], (0.5, 0.5): ""}
        assert row["best_image_uid"] == best[labels]
        for number, uid in enumerate(uids):
            shown = Image.open(io.BytesIO(row[f"jpg_{number}"])).convert("RGB")
            assert np.array_equal(np.asarray(shown), np.asarray(picture_of(people, uid)))
    assert set(found["label_0"]) == {0.0, 0.5, 1.0}
    assert found["user_id"].nunique() == 4


def test_an_unknown_format_is_refused_before_the_library_is_asked_for(people, tmp_path):
    with pytest.raises(EvalkitError, match='"hub"'):
        export_study(people, tmp_path / "out", "hub")


def test_an_image_that_is_not_the_one_voted_on_is_not_exported(people, tmp_path):
    copy = StudyFolder(shutil.copytree(people.root, tmp_path / "changed"))
    first, second = copy.read_images()["file_name"].iloc[:2]
    (copy.images / first).write_bytes((copy.images / second).read_bytes())
    with pytest.raises(StudyError, match="is not the image that images.csv lists"):
        export_study(copy, tmp_path / "out", "datasets")
    assert not (tmp_path / "out").exists()
