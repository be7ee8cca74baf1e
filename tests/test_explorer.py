"""The explorer: its numbers are those of the tables, its text is text, its images are made once."""

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from evalkit import tables
from evalkit.cli import app
from evalkit.errors import StudyError
from evalkit.lock import write_lock
from evalkit.report import write_report
from evalkit.report.copies import Copies, make_copies
from evalkit.report.explorer import Explorer, explore, split
from evalkit.report.results import read_results
from evalkit.study_folder import StudyFolder
from tests.report_study import ATTACK, MODELS, write_study

NOW = "2025-01-02T10:00:00Z"
DATA = re.compile(r'<script type="application/json" id="pairs-data">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study with its report; some of its votes do not count, and a judge has judged."""
    folder = write_study(tmp_path_factory.mktemp("study"), simulated=False, n_prompts=4)
    comparisons = read(folder, "comparisons", tables.COMPARISONS)
    comparisons.loc[::7, "kind"] = "repeat"
    comparisons["excluded_by"] = np.where(comparisons.index % 5, "", "too_fast")
    tables.write(comparisons, folder.analysis / "comparisons.csv", tables.COMPARISONS)
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    judged = pairs.assign(question_id="quality", metric="judge", weights="small", score=0.25)
    judged = judged.assign(a_when_first=0.3, a_when_second=0.2)
    tables.write(judged, folder.judgements / "judge.csv", tables.JUDGEMENTS)
    apart = pairs.assign(question_id="quality", metric="clip_score", weights="scenes-clip", n=3)
    apart = apart.assign(place=range(1, len(pairs) + 1), share_a=1.0, expected_a=0.25)
    apart = apart.assign(score_a=30.0, score_b=31.0, method="made up")
    tables.write(apart, folder.analysis / "disagreements.csv", tables.DISAGREEMENTS)
    write_report(folder, NOW)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study that a test may change."""
    return write_study(tmp_path, simulated=False, n_prompts=2)


def read(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    return tables.read(folder.analysis / f"{name}.csv", table)


def copied(folder: StudyFolder) -> Copies:
    return make_copies(read_results(folder))


def explorer(folder: StudyFolder) -> Explorer:
    return explore(read_results(folder), copied(folder))


def source(folder: StudyFolder) -> str:
    return (folder.report / "index.html").read_text("utf-8")


def explored(folder: StudyFolder) -> dict:
    """What the page's script reads."""
    return json.loads(DATA.search(source(folder))[1])


# Numbers


def test_every_pair_is_there_with_the_votes_of_the_table_that_count(folder: StudyFolder) -> None:
    data = explored(folder)
    pairs = tables.read(folder.pairs_file, tables.PAIRS).set_index("pair_id")
    votes = pd.read_csv(folder.report / "tables" / "comparisons.csv", keep_default_na=False)
    main = votes[(votes["kind"] == "main") & (votes["excluded_by"] == "")]
    assert 0 < len(main) < len(votes)
    assert len(data["pairs"]) == len(pairs) == 24
    seen = 0
    for pair in data["pairs"]:
        row = pairs.loc[pair["id"]]
        assert [pair["a"], pair["b"], pair["image_a"], pair["image_b"], pair["seed"]] == [
            *row[["model_a", "model_b", "image_a", "image_b", "seed"]]
        ]
        assert data["prompts"][pair["prompt"]]["id"] == row["prompt_id"]
        for question_id, answer in zip(data["questions"], pair["answers"], strict=True):
            cast = main[(main["pair_id"] == pair["id"]) & (main["question_id"] == question_id)]
            winners = cast["winner"].tolist()
            counted = [winners.count(winner) for winner in tables.WINNERS]
            assert (answer["votes"] if answer else [0, 0, 0, 0]) == counted
            seen += sum(counted)
    assert seen == len(main)


def test_an_upset_is_a_win_of_the_model_that_is_rated_lower(folder: StudyFolder) -> None:
    ratings = read(folder, "ratings", tables.RATINGS).set_index(["question_id", "model"])["rating"]
    data = explored(folder)
    upsets = []
    for pair in data["pairs"]:
        for question, answer in zip(data["questions"], pair["answers"], strict=True):
            if answer:
                lead = answer["votes"][0] - answer["votes"][1]
                ahead = ratings[question, pair["a"]] - ratings[question, pair["b"]]
                upsets.append(answer["upset"])
                assert answer["upset"] == (lead * ahead < 0)
    assert set(upsets) == {True, False}


def test_the_split_is_the_chance_that_two_votes_differ() -> None:
    assert split([2, 2, 0, 0]) == pytest.approx(1 / 2)  # of 16 ordered draws 8 differ
    assert split([3, 1, 0, 0]) == pytest.approx(6 / 16)
    assert split([1, 1, 1, 0]) == pytest.approx(6 / 9)
    assert split([0, 0, 5, 0]) == 0  # all agree that there is no difference
    assert split([1, 0, 0, 0]) is None


def test_scores_judgements_and_gaps_are_those_of_their_tables(folder: StudyFolder) -> None:
    scores = tables.read(folder.scores / "clip_score.csv", tables.SCORES)
    scored = scores.set_index("image_id")["score"]
    places = {}
    for pair in explored(folder)["pairs"]:
        assert pair["scores"] == [["clip_score", scored[pair["image_a"]], scored[pair["image_b"]]]]
        assert pair["judged"] == [["quality", "judge", 0.25]]
        gap = pair["gaps"]["against/clip_score/scenes-clip"]["quality"]
        places[pair["id"]] = gap["place"]
        assert [gap["share_a"], gap["expected_a"]] == [1.0, 0.25]
    order = tables.read(folder.pairs_file, tables.PAIRS)["pair_id"].tolist()
    assert sorted(places, key=places.get) == order


def test_weights_are_named_where_a_metric_has_several(study: StudyFolder) -> None:
    scores = tables.read(study.scores / "clip_score.csv", tables.SCORES)
    both = pd.concat([scores, scores.assign(weights="other")])
    tables.write(both, study.scores / "clip_score.csv", tables.SCORES)
    labels = [label for label, _, _ in explorer(study).pairs[0]["scores"]]
    assert labels == ["clip_score (other)", "clip_score (scenes-clip)"]


def test_pairs_stand_in_the_order_of_the_prompts_whatever_that_of_the_table(
    study: StudyFolder,
) -> None:
    pairs = tables.read(study.pairs_file, tables.PAIRS)
    tables.write(pairs.sample(frac=1, random_state=1), study.pairs_file, tables.PAIRS)
    told = [(p["prompt"], p["seed"], p["a"], p["b"]) for p in explorer(study).pairs]
    assert told == sorted(told)


# Text


def test_no_prompt_can_end_the_script_that_holds_it(study: StudyFolder) -> None:
    texts = ["</script><script>alert(1)</script><!--<script> \"'&\u2028 \\u003c", "قطة حمراء"]
    prompts = study.read_prompts().assign(prompt=texts)
    tables.write(prompts, study.prompts_file, tables.PROMPTS)
    write_lock(study, NOW)
    write_report(study, NOW)
    inside = DATA.search(source(study))[1]
    assert not re.search("[<>&]", inside)
    assert [prompt["text"] for prompt in json.loads(inside)["prompts"]] == texts


def test_simulated_votes_are_said_in_the_headings(tmp_path: Path) -> None:
    write_report(write_study(tmp_path, simulated=True, n_prompts=2), NOW)
    text = (tmp_path / "report" / "index.html").read_text("utf-8")
    for words in ("A few pairs to begin with", "Every pair"):
        heading = re.search(rf"<h2[^>]*>{words}.*?</h2>", text, re.DOTALL)[0]
        assert tables.SIMULATED in heading


def test_without_scripts_the_first_pairs_are_a_plain_list(folder: StudyFolder) -> None:
    plain = re.search("<noscript>.*?</noscript>", source(folder), re.DOTALL)[0]
    first = explored(folder)["pairs"][0]
    assert "These are the first 24 of 24 pairs" in plain
    assert plain.count("<article") == 24
    assert f'alt="{first["a"]}: 0 houses by the sea"' in plain
    assert ATTACK not in plain


# Images


def test_each_image_has_a_small_and_a_large_copy_and_keeps_its_shape(study: StudyFolder) -> None:
    file = study.images / study.read_images()["file_name"].iloc[0]
    Image.new("RGB", (1024, 512), (200, 30, 30)).save(file)
    images = explorer(study).images
    assert len(images) == 12
    sizes = {}
    for kind in ("small", "large"):
        for name in images.values():
            with Image.open(study.report / "pairs" / kind / unquote(name)) as image:
                sizes[kind, name] = image.size
    name = f"{MODELS[0]}/p00-0.webp"
    assert (sizes.pop(("small", name)), sizes.pop(("large", name))) == ((256, 128), (480, 240))
    assert set(sizes.values()) == {(96, 96)}  # a smaller image keeps its size


def test_an_image_is_shown_upright(study: StudyFolder) -> None:
    row = study.read_images().iloc[0]
    file = study.images / row["file_name"]
    image = Image.new("RGB", (80, 40), (200, 30, 30))
    exif = image.getexif()
    exif[0x0112] = 6  # lies on its side
    image.save(file, exif=exif)
    copied(study)
    copy = study.report / "pairs" / "small" / Path(row["file_name"]).with_suffix(".webp")
    with Image.open(copy) as shown:
        assert shown.size == (40, 80)


def test_copies_are_made_once_and_anew_where_an_image_changed(study: StudyFolder) -> None:
    made: list[int] = []

    def report() -> None:
        made.append(0)
        make_copies(read_results(study), progress=lambda done, total, label: made.append(total))
        made[:] = made[-1:]  # how many were to make

    report()
    assert made == [12]
    small = study.report / "pairs" / "small"
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*.webp")}
    report()
    assert made == [0]
    assert before == {path: path.stat().st_mtime_ns for path in small.rglob("*.webp")}
    changed = study.images / study.read_images()["file_name"].iloc[3]
    Image.new("RGB", (96, 96), (9, 9, 9)).save(changed)
    next(iter(before)).unlink()
    report()
    assert made[0] in (1, 2)  # the changed one and the lost one, which may be the same
    copy = small / changed.relative_to(study.images).with_suffix(".webp")
    with Image.open(copy) as shown:
        assert max(shown.getpixel((5, 5))) < 16
    (study.report / "pairs" / "made.json").write_text("not JSON")
    report()
    assert made == [12]


def test_copies_of_images_that_no_pair_has_are_taken_away(study: StudyFolder) -> None:
    copied(study)
    stray = study.report / "pairs" / "small" / MODELS[0] / "stray.webp"
    stray.write_bytes(b"x")
    copied(study)
    assert not stray.exists()
    assert len(list((study.report / "pairs").rglob("*.webp"))) == 24


def test_an_unreadable_image_is_named_and_no_page_is_written(study: StudyFolder) -> None:
    names = study.read_images()["file_name"]
    (study.images / names.iloc[1]).write_bytes(b"no image")
    with pytest.raises(StudyError, match=f"{names.iloc[1]}: the image cannot be read"):
        write_report(study, NOW)
    assert not (study.report / "index.html").exists()
    (study.images / names.iloc[1]).unlink()
    with pytest.raises(StudyError, match="make it again with: evalkit generate"):
        write_report(study, NOW)


def test_embedded_images_are_inside_once_each(study: StudyFolder) -> None:
    page = write_report(study, NOW, embed=True)
    assert not (study.report / "pairs" / "large").exists()
    data = explored(study)
    assert len(data["images"]) == 12
    assert "pairs/" not in re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    for image_id, uri in data["images"].items():
        head, _, content = uri.partition(",")
        assert head == "data:image/webp;base64"
        model, rest = next(
            (model, image_id.removeprefix(f"{model}-"))
            for model in MODELS
            if image_id.startswith(model)
        )
        file = study.report / "pairs" / "small" / model / f"{rest}.webp"
        assert base64.b64decode(content) == file.read_bytes()
        Image.open(BytesIO(file.read_bytes())).load()
        assert DATA.search(page.read_text())[1].count(content) == 1


def test_the_command_says_how_large_the_page_with_its_images_is(study: StudyFolder) -> None:
    done = CliRunner().invoke(app, ["report", str(study.root), "--embed"])
    page = study.report / "index.html"
    size = page.stat().st_size / 1e6
    assert f"Report: {page} ({size:.1f} MB, its images inside)" in done.stdout.replace("\n", " ")
