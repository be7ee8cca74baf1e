"""The report: its numbers are those of the tables, and it stands alone on disk."""

import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from evalkit import tables
from evalkit.errors import StudyError
from evalkit.lock import lock_hash
from evalkit.report import write_report
from evalkit.report.datasheet import flatten
from evalkit.report.supplement import LABELLED
from evalkit.result_tables import analyze_file
from evalkit.study_folder import StudyFolder
from evalkit.wording import win_rate_sentence
from tests.report_study import ATTACK, write_metric_tables, write_results, write_study

NOW = "2025-01-02T10:00:00Z"


class Page(HTMLParser):
    """The parsed page: tags with attributes, text, and the cells of tables that have an id."""

    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[dict]]] = {}
        self._table: str | None = None
        self.feed(source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.tags.append((tag, named))
        if tag == "table":
            self._table = named.get("id")
            self.tables.setdefault(str(self._table), [])
        if self._table is not None:
            if tag == "tr":
                self.tables[self._table].append([])
            elif tag in ("td", "th"):
                self.tables[self._table][-1].append({"text": "", "values": []})
            elif tag == "data":
                self.tables[self._table][-1][-1]["values"].append(float(str(named["value"])))

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        rows = self.tables.get(self._table or "", [])
        if rows and rows[-1]:
            rows[-1][-1]["text"] += data

    def rows(self, table: str) -> list[list[dict]]:
        """The body's rows of a table."""
        return self.tables[table][1:]

    def values(self, table: str) -> list[list[float]]:
        """The exact numbers of each row of a table, from left to right."""
        return [[value for cell in row for value in cell["values"]] for row in self.rows(table)]


def write_whole_study(root: Path, *, simulated: bool) -> StudyFolder:
    """A study with every table that a report can show, and its report."""
    folder = write_study(root, simulated=simulated, categories=("houses", "streets & squares"))
    write_metric_tables(folder)
    write_report(folder, NOW)
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return write_whole_study(tmp_path_factory.mktemp("simulated"), simulated=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return write_whole_study(tmp_path_factory.mktemp("real"), simulated=False)


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study that a test may break."""
    return write_study(tmp_path, simulated=False, n_prompts=3)


def source(folder: StudyFolder) -> str:
    return (folder.report / "index.html").read_text("utf-8")


def analysed(folder: StudyFolder, name: str, table: tables.Table) -> pd.DataFrame:
    """A result table, its questions in the order of the study."""
    frame = tables.read(folder.analysis / f"{name}.csv", table)
    if "question_id" not in frame.columns:
        return frame
    order = ("quality", "alignment", tables.MEAN_OF_QUESTIONS, "")  # "": all of them
    return pd.concat([frame[frame["question_id"] == question] for question in order])


# Numbers


def test_win_rates_on_the_page_are_those_of_the_table(real: StudyFolder) -> None:
    frame = analysed(real, "win_rates", tables.WIN_RATES)
    page = Page(source(real))
    columns = ["win_rate_a", "ci_low", "ci_high", "wins_a", "wins_b", "ties", "both_bad", "n"]
    columns += ["n_prompts", "n_annotators", "p_value", "p_holm"]
    assert len(frame) == 6
    assert page.values("table-win-rates") == frame[columns].to_numpy(float).tolist()
    names = [[cell["text"] for cell in row[:3]] for row in page.rows("table-win-rates")]
    assert names == frame[["question_id", "model_a", "model_b"]].to_numpy().tolist()


def test_what_is_read_is_the_rounded_value(real: StudyFolder) -> None:
    frame = analysed(real, "win_rates", tables.WIN_RATES)
    shown = [row[3]["text"] for row in Page(source(real)).rows("table-win-rates")]
    assert shown == [f"{100 * value:.1f}%" for value in frame["win_rate_a"]]


def test_ratings_scores_and_speed_are_those_of_their_tables(real: StudyFolder) -> None:
    page = Page(source(real))
    for table_id, name, table, columns in [
        ("table-ratings", "ratings", tables.RATINGS, ["rating", "ci_low", "ci_high", "elo", "n"]),
        ("table-scores", "scores", tables.MEAN_SCORES, ["mean", "ci_low", "ci_high", "n"]),
        (
            "table-speed",
            "speed",
            tables.SPEED,
            ["seconds_median", "seconds_low", "seconds_high", "n"],
        ),
    ]:
        frame = analysed(real, name, table)
        assert len(frame) in (3, 6)
        assert page.values(table_id) == frame[columns].to_numpy(float).tolist()


@pytest.mark.parametrize(
    ("name", "table", "columns"),
    [
        (
            "win_rates_by_category",
            tables.WIN_RATES,
            "win_rate_a ci_low ci_high wins_a wins_b ties both_bad n n_prompts p_holm",
        ),
        ("tie_rules", tables.TIE_RULES, "win_rate_a ci_low ci_high n p_holm"),
        (
            "sides",
            tables.LEFT_SHARE,
            "left_share ci_low ci_high n_left n_right ties both_bad p_value p_holm",
        ),
        ("elo", tables.ELO, "elo elo_low elo_high mean_field n orders"),
        ("stability", tables.STABILITY, "rating largest_change n_refitted n_clusters"),
        ("agreement", tables.AGREEMENT, "estimate ci_low ci_high n n_units n_annotators"),
        (
            "annotators",
            tables.ANNOTATORS,
            "n_votes median_ms left_share tie_share attention_passed attention_n agreement "
            "outlier_distance",
        ),
        (
            "metric_agreement",
            tables.METRIC_AGREEMENT,
            "estimate ci_low ci_high n n_prompts n_annotators",
        ),
        (
            "metric_bins",
            tables.METRIC_BINS,
            "difference_low difference_high accuracy ci_low ci_high n n_prompts",
        ),
        (
            "metric_differences",
            tables.METRIC_DIFFERENCES,
            "mean_difference ci_low ci_high p_value p_holm n n_prompts",
        ),
        ("disagreements", tables.DISAGREEMENTS, "place share_a expected_a n score_a score_b"),
    ],
)
def test_every_other_table_has_the_numbers_of_its_file(
    real: StudyFolder, name: str, table: tables.Table, columns: str
) -> None:
    frame = analysed(real, name, table)
    numbers = frame[columns.split()].to_numpy(float)
    known = [[value for value in row if value == value] for row in numbers]
    assert len(known) > 0
    assert Page(source(real)).values(f"table-{name.replace('_', '-')}") == known
    copy = real.report / "tables" / f"{name}.csv"
    if name not in LABELLED:
        assert copy.read_bytes() == (real.analysis / f"{name}.csv").read_bytes()


def test_what_was_not_estimated_is_said_with_the_reason(real: StudyFolder) -> None:
    rows = Page(source(real)).rows("table-metric-agreement")
    assert [cell["text"] for cell in rows[1][3:6]] == [
        "area under the curve",
        "not estimated (no votes)",
        "not estimated (no votes)",
    ]


def test_annotators_have_labels_and_no_ids(real: StudyFolder) -> None:
    page = Page(source(real))
    labels = [row[0]["text"] for row in page.rows("table-annotators")]
    assert labels == [f"a0{n}" for n in range(1, 9)]
    left_out = {
        row[5]["text"] for row in page.rows("table-stability") if "annotator" in row[2]["text"]
    }
    assert left_out <= set(labels)
    assert "person-" not in source(real)


def cells(folder: StudyFolder, place: str, name: str) -> pd.DataFrame:
    """The texts of a table of the analysis or of report/tables."""
    file = {"analysis": folder.analysis, "report": folder.report / "tables"}[place]
    return pd.read_csv(file / f"{name}.csv", dtype=str, keep_default_na=False)


def test_no_stored_id_and_no_time_of_a_vote_is_in_the_report(study: StudyFolder) -> None:
    votes = analysed(study, "comparisons", tables.COMPARISONS)
    votes = votes.assign(
        trial_id=[f"trial-{n}" for n in range(len(votes))],
        session_id="sitting-" + votes["annotator_id"],
        created_at=[f"2025-03-04T05:06:{n % 60:02d}.789Z" for n in range(len(votes))],
        excluded_by=["duplicate" if name == "person-3" else "" for name in votes["annotator_id"]],
    )
    write_results(study, votes, study.read_images())
    assert "person-" in (study.analysis / "stability.csv").read_text("utf-8")
    write_report(study, NOW)
    files = [path for path in study.report.rglob("*") if path.is_file()]
    assert {"comparisons.csv", "annotators.csv", "stability.csv"} <= {path.name for path in files}
    for path in files:
        told = [word for word in SECRETS if word.encode() in path.read_bytes()]
        assert not told, path.name


SECRETS = ("person-", "trial-", "sitting-", "2025-03-04", "05:06")


def test_labels_are_the_same_on_the_page_and_in_its_tables(real: StudyFolder) -> None:
    """Of person-0, ..., person-7 each is the label with the next number."""
    labels = {f"person-{n}": f"a0{n + 1}" for n in range(8)}
    for name, column in (("comparisons", "annotator_id"), ("annotators", "annotator_id")):
        own, shown = (cells(real, place, name) for place in ("analysis", "report"))
        assert shown[column].tolist() == own[column].map(labels).tolist()
        assert shown.drop(columns=column).equals(own[shown.columns].drop(columns=column))
    own, shown = (cells(real, place, "stability") for place in ("analysis", "report"))
    own = pd.concat([own[own["question_id"] == question] for question in ("quality", "alignment")])
    expected = [labels.get(name, name) for name in own["without"]]
    assert shown["without"].tolist() == expected
    assert set(expected) & set(labels.values())
    gone = set(cells(real, "analysis", "comparisons")) - set(cells(real, "report", "comparisons"))
    assert gone == {"trial_id", "session_id", "created_at"}


def test_the_votes_beside_the_page_give_the_same_win_rates(
    real: StudyFolder, tmp_path: Path
) -> None:
    analyze_file(real.report / "tables" / "comparisons.csv", tmp_path / "again")
    again = tables.read(tmp_path / "again" / "win_rates.csv", tables.WIN_RATES)
    own = tables.read(real.analysis / "win_rates.csv", tables.WIN_RATES)
    names = ["question_id", "model_a", "model_b", "win_rate_a", "ci_low", "ci_high", "wins_a", "n"]
    pd.testing.assert_frame_equal(again[names], own[names], check_exact=True)


def test_models_that_may_be_first_are_tied_for_first(real: StudyFolder) -> None:
    frame = analysed(real, "ratings", tables.RATINGS)
    tied = frame["tied_for_first"].astype(bool)
    n = tied.groupby(frame["question_id"]).transform("sum")
    words = [
        "" if not first else "first" if several == 1 else "tied for first"
        for first, several in zip(tied, n, strict=True)
    ]
    shown = [row[6]["text"] for row in Page(source(real)).rows("table-ratings")]
    assert shown == words
    assert {"", "tied for first"} <= set(words)


def test_every_result_table_lies_beside_the_page_unchanged(real: StudyFolder) -> None:
    for name in ("win_rates", "ratings", "agreement", "scores", "speed"):
        copy = real.report / "tables" / f"{name}.csv"
        assert copy.read_bytes() == (real.analysis / f"{name}.csv").read_bytes()
    scores = (real.scores / "clip_score.csv").read_bytes()
    assert (real.report / "tables" / "clip_score.csv").read_bytes() == scores


def test_the_record_names_every_file_of_the_report(real: StudyFolder) -> None:
    record = json.loads(real.report_record.read_text())
    files = {path for path in real.report.rglob("*") if path.is_file()}
    assert {real.report / name for name in record["files"]} == files - {real.report_record}
    assert record["lock"] == lock_hash(real)
    page = hashlib.sha256((real.report / "index.html").read_bytes()).hexdigest()
    assert record["files"]["index.html"] == page


def test_the_same_files_give_the_same_page_and_figures(study: StudyFolder) -> None:
    def written() -> dict[str, bytes]:
        write_report(study, NOW)
        files = [path for path in study.report.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    first = written()
    assert len(first) > 10
    assert written() == first


# Simulated votes


def test_simulated_votes_are_said_on_every_figure_and_table(simulated: StudyFolder) -> None:
    text = source(simulated)
    assert '<aside class="banner"' in text
    assert (
        "All 432 comparisons behind this page (repeats included) were made by simulated annotators"
        in text
    )
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    captions = re.findall(r"<caption.*?</caption>", text, flags=re.DOTALL)
    assert (len(drawn), len(captions)) == (12, 15)
    assert all(tables.SIMULATED in part for part in [*drawn, *captions])
    assert "simulated annotators preferred" in text
    assert tables.SIMULATED in re.findall(r"<title>.*?</title>", text)[0]


def test_votes_of_people_are_not_called_simulated(real: StudyFolder) -> None:
    text = source(real)
    assert "simulated" not in text.lower()
    assert '<aside class="banner"' not in text


def test_a_few_simulated_votes_are_enough_to_say_so(study: StudyFolder) -> None:
    comparisons = analysed(study, "comparisons", tables.COMPARISONS)
    comparisons["vote_source"] = [tables.SIMULATED] * 5 + [""] * (len(comparisons) - 5)
    tables.write(comparisons, study.analysis / "comparisons.csv", tables.COMPARISONS)
    write_report(study, NOW)
    assert (
        f"5 of the {len(comparisons)} comparisons behind this page (repeats included) were made"
        in source(study)
    )


def test_what_the_votes_were_simulated_from_is_said(study: StudyFolder) -> None:
    summary_file = study.analysis / "summary.json"
    content = json.loads(summary_file.read_text("utf-8"))
    content["simulation"] = {"quality": "made-up strengths"}
    summary_file.write_text(json.dumps(content))
    write_report(study, NOW)
    assert '<p class="note">quality: made-up strengths</p>' in source(study)


# Before the planned votes are there


def test_an_early_look_is_refused_or_said_everywhere(study: StudyFolder) -> None:
    summary_file = study.analysis / "summary.json"
    content = json.loads(summary_file.read_text("utf-8"))
    looks = [{"at": NOW, "given": 1000, "planned": 2000}]
    content["planned_votes"] = {"given": 1000, "planned": 2000, "early_looks": looks}
    summary_file.write_text(json.dumps(content))
    with pytest.raises(StudyError, match="1,000 of 2,000 planned votes are there.*add --early"):
        write_report(study, NOW)
    assert not study.report.exists()
    write_report(study, NOW, early=True)
    text = source(study)
    banner = "EARLY LOOK: 1,000 of 2,000 planned votes; intervals hold for the declared end only"
    assert f'<aside class="banner" aria-label="Early look"><strong>{banner}' in text
    read = " ".join(" ".join(Page(text).texts).split())
    assert f"planned votes {banner}" in read
    assert f"early looks 1,000 of 2,000 at {NOW}" in read
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert sum("EARLY LOOK" in figure for figure in drawn) == 7  # not the scores


def test_an_analysis_that_does_not_say_what_was_planned_is_made_anew(study: StudyFolder) -> None:
    (study.analysis / "summary.json").unlink()
    with pytest.raises(StudyError, match="how many votes were planned; run: evalkit analyze"):
        write_report(study, NOW, early=True)


# A page that stands alone and trusts no text


def test_the_page_loads_nothing_and_its_links_exist(real: StudyFolder) -> None:
    page = Page(source(real))
    loaded = [str(named["src"]) for _, named in page.tags if "src" in named]
    inside = [uri for uri in loaded if uri.startswith("data:image/webp;base64,")]
    assert len(inside) == 6  # the example pairs
    assert all((real.report / uri).is_file() for uri in loaded if uri not in inside)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "base"}
    assert [named for tag, named in page.tags if tag == "script"] == [
        {"type": "application/json", "id": "pairs-data"},
        {},
    ]
    links = [str(named["href"]) for tag, named in page.tags if tag == "a" and "href" in named]
    ids = {named.get("id") for _, named in page.tags}
    assert len(links) > 30
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids or link.startswith("#pairs?")
        else:
            assert (real.report / link).is_file()
    assert all(ref.startswith("#") for ref in re.findall(r"url\((.*?)\)", source(real)))
    assert "@import" not in source(real)


def test_text_of_the_study_is_never_markup(real: StudyFolder) -> None:
    text = source(real)
    page = Page(text)
    assert text.lower().count("<script") == 2  # the pairs, and what shows them
    assert "<b>" not in text
    read = "".join(page.texts)
    assert "Which image looks better made & <b>cleaner</b>?" in read
    assert ATTACK in [str(named.get("alt", ""))[-len(ATTACK) :] for _, named in page.tags]


def test_ids_on_the_page_are_unique(real: StudyFolder) -> None:
    ids = [named["id"] for _, named in Page(source(real)).tags if "id" in named]
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


# Missing inputs


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("images.csv", "evalkit generate"),
        ("analysis/win_rates.csv", "evalkit analyze"),
        ("analysis/ratings.csv", "evalkit analyze"),
        ("analysis/speed.csv", "evalkit analyze"),
    ],
)
def test_a_missing_input_names_the_command_to_run(
    study: StudyFolder, missing: str, command: str
) -> None:
    (study.root / missing).unlink()
    with pytest.raises(StudyError, match=f"{Path(missing).name} yet.*run: {command}"):
        write_report(study, NOW)
    assert not study.report.exists()


def test_without_votes_there_is_no_report(study: StudyFolder) -> None:
    for name, table in [("win_rates", tables.WIN_RATES), ("ratings", tables.RATINGS)]:
        tables.write(table.empty(), study.analysis / f"{name}.csv", table)
    with pytest.raises(StudyError, match="no votes yet.*evalkit invite"):
        write_report(study, NOW)


def test_without_scores_the_page_says_how_to_get_them(study: StudyFolder) -> None:
    empty = tables.MEAN_SCORES.empty()
    tables.write(empty, study.analysis / "scores.csv", tables.MEAN_SCORES)
    write_report(study, NOW)
    assert "No scores yet. Run <code>evalkit score STUDY</code>" in source(study)
    assert "table-scores" not in source(study)


def test_one_annotator_gives_no_interval_and_no_zero(study: StudyFolder) -> None:
    comparisons = analysed(study, "comparisons", tables.COMPARISONS).assign(annotator_id="person-0")
    write_results(study, comparisons, study.read_images())
    write_report(study, NOW)
    rows = Page(source(study)).rows("table-win-rates")
    reason = "no interval: one annotator, at least two are needed"
    assert [row[4]["text"] for row in rows] == [f"not estimated ({reason})"] * 6
    assert [row[12]["text"] for row in rows] == ["not estimated"] * 6
    assert ">nan" not in source(study).lower()
    assert f"how sure that is was not estimated ({reason})." in source(study)


def test_votes_that_name_no_pair_give_no_examples(study: StudyFolder) -> None:
    comparisons = analysed(study, "comparisons", tables.COMPARISONS).drop(columns="pair_id")
    tables.write(comparisons, study.analysis / "comparisons.csv", tables.COMPARISONS)
    write_report(study, NOW)
    assert "do not say which images were shown" in source(study)


# Sentences and sections


def test_the_answer_comes_in_two_sentences_per_question(real: StudyFolder) -> None:
    """The two models rated highest, over ties: of 72 votes each, on quality 37 for scenes-base, 24
    for scenes-turbo and 11 ties, (37 + 11 / 2) / 72 = 59.0%; on alignment 33, 30 and 9, so
    (33 + 9 / 2) / 72 = 52.1%. Neither share is that of the votes: 37 / 72 = 51.4%."""
    assert re.findall(r'<p class="headline">(.*?)</p>', source(real)) == [
        "scenes-base has the highest rating, scenes-turbo the next: the votes on this pair show no "
        "preference on quality; win rate of scenes-base 59% (45% to 72%; 11 ties counted half).",
        "By the ratings, which use the votes of all pairs, scenes-base and scenes-turbo are tied "
        "for first: none of them was shown to be rated below another; 216 votes by 8 annotators on "
        "12 prompts.",
        "scenes-base has the highest rating, scenes-turbo the next: the votes on this pair show no "
        "preference on alignment; win rate of scenes-base 52% (38% to 65%; 9 ties counted half).",
        "By the ratings, which use the votes of all pairs, all models are tied for first: none was "
        "shown to be rated below another; 216 votes by 8 annotators on 12 prompts.",
    ]


def test_a_win_rate_is_called_no_share_of_votes_where_there_are_ties(real: StudyFolder) -> None:
    text = source(real)
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    axes = " ".join(" ".join(Page(figure).texts) for figure in drawn)
    assert axes.count("win rate (ties and both bad count half)") == 2  # a figure per question
    assert "win rate of the model named first (ties and both bad count half)" in axes
    assert "that a model won; ties and both bad count half." in text
    headings = [cell["text"] for cell in Page(text).tables["table-win-rates"][0]]
    assert headings[3] == "win rate of A"
    assert "of comparisons." not in text
    assert "A wins" not in text


def test_sections_stand_in_the_order_of_the_contents(real: StudyFolder) -> None:
    page = Page(source(real))
    sections = [f"#{named['id']}" for tag, named in page.tags if tag == "section"]
    links = re.findall(r'<li><a href="(#.*?)">', source(real))
    assert sections == links
    assert sections == [
        "#answer", "#win-rates", "#speed", "#ratings", "#slices", "#voters", "#scores",
        "#examples", "#pairs", "#files", "#datasheet", "#heds",
    ]  # fmt: skip
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


def test_each_bar_leads_to_the_pairs_behind_it(real: StudyFolder) -> None:
    drawn = re.findall(r"<svg.*?</svg>", source(real), flags=re.DOTALL)
    page = Page(next(figure for figure in drawn if "Win rates on quality" in figure))
    links = [named for tag, named in page.tags if tag == "a"]
    assert [(named["href"], named["aria-label"]) for named in links] == [
        (f"#pairs?question=quality&a={a}&b={b}", f"Pairs of {a} and {b} on quality")
        for a, b in [
            ("scenes-base", "scenes-lcm"),
            ("scenes-base", "scenes-turbo"),
            ("scenes-lcm", "scenes-turbo"),
        ]
    ]
    assert page.tags[0][1]["role"] == "group"  # an image would hide its links


def test_the_lock_s_hash_stands_on_every_figure_and_printed_page(real: StudyFolder) -> None:
    name, text = f"lock {lock_hash(real)}", source(real)
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(drawn) == 12
    assert all(name in figure for figure in drawn)
    assert f'@bottom-left {{ content: "{name}"; }}' in text
    assert name in text[text.index("<footer>") :]


def test_many_pairs_are_folded_and_slices_show_those_of_the_best_model(tmp_path: Path) -> None:
    models = {f"model-{n}-with-a-long-name": f"scenes-{kind}" for n, kind in enumerate(KINDS)}
    folder = write_study(
        tmp_path, simulated=False, n_prompts=4, models=models, categories=("one", "two")
    )
    write_report(folder, NOW)
    text = source(folder)
    assert text.count("<summary>All 10 pairs in words</summary>") == 2
    best = analysed(folder, "ratings", tables.RATINGS).groupby("question_id")["rating"].idxmax()
    rated = analysed(folder, "ratings", tables.RATINGS)
    for index in best:
        assert f"The pairs of {rated.loc[index, 'model']}, rated highest; all 10 are" in text


KINDS = ("base", "lcm", "turbo", "base", "lcm")


def test_a_study_of_two_models_has_one_pair_and_no_slices(tmp_path: Path) -> None:
    models = {"x": "scenes-base", "y": "scenes-lcm"}
    folder = write_study(tmp_path, simulated=False, n_prompts=6, models=models)
    write_report(folder, NOW)
    text = source(folder)
    assert "Annotators preferred x to y on quality, with a win rate of" in text
    assert "No slices: the prompts of this study have one category" in text


def test_each_pair_has_its_sentence_and_only_shown_preferences_are_marked(
    real: StudyFolder,
) -> None:
    frame = analysed(real, "win_rates", tables.WIN_RATES)
    marks = re.findall(r'<li class="(firm|single|open)">(On .*?)</li>', source(real))
    assert [text for _, text in marks] == [
        win_rate_sentence(row) for row in frame.to_dict("records")
    ]
    shown = ((frame["ci_low"] > 0.5) | (frame["ci_high"] < 0.5)).tolist()
    assert [mark != "open" for mark, _ in marks] == shown
    assert set(shown) == {True, False}


# Datasheet


def test_the_datasheet_says_how_the_study_was_run(real: StudyFolder) -> None:
    read = " ".join(" ".join(Page(source(real)).texts).split())
    for words in (
        "Which image shows the description better? (prompt shown; choices: left, right, tie)",
        "two-way (prompt x annotator) Wilson",
        "LCMScheduler",
        "images of scenes-turbo 24 ok",
        "rows of the source 15 read, dropped: 2 duplicate, 1 over-long",
        "prompts that a model cuts scenes-base 1 (past 77 tokens)",
        "image seeds 0, 1",
        "runs \N{MIDDLE DOT} versions \N{MIDDLE DOT} torch 2.0 2.0 2.0",
        "one generator per image",
        "We store your choices",
        f"study file sha256 {real.study.sha256}",
        "exclusion rule none",
        "planned votes all 432 were there at the analysis early looks none",
        f"written at {NOW}",
    ):
        assert words in read


def test_nested_json_becomes_rows_and_long_lists_stay_out() -> None:
    content = {
        "attention": {"n_passed": 3, "share": 0.123456},
        "none": None,
        "on": True,
        "few": [1, 2],
        "many": list(range(50)),
        "nothing": [],
        "runs": [{"device": "cpu"}, {"device": "cuda"}],
    }
    assert flatten(content) == [
        ("attention \N{MIDDLE DOT} n passed", "3"),
        ("attention \N{MIDDLE DOT} share", "0.123"),
        ("none", "none"),
        ("on", "yes"),
        ("few", "1, 2"),
        ("runs 1 \N{MIDDLE DOT} device", "cpu"),
        ("runs 2 \N{MIDDLE DOT} device", "cuda"),
    ]


def test_a_question_without_votes_is_named(study: StudyFolder) -> None:
    comparisons = analysed(study, "comparisons", tables.COMPARISONS)
    one = comparisons[comparisons["question_id"] == "quality"]
    write_results(study, one, study.read_images())
    write_report(study, NOW)
    assert source(study).count("There are no votes on this question yet.") == 1


def test_images_that_could_not_be_shown_are_counted_near_the_answer(study: StudyFolder) -> None:
    write_report(study, NOW)
    assert "could not be shown" not in source(study)  # every image is there
    images = study.read_images()
    model = images["model"].iloc[0]
    own = images.index[images["model"] == model]
    images.loc[own[0], "status"] = "failed"
    images.loc[own[1:3], "status"] = "filtered"
    tables.write(images, study.images_file, tables.IMAGES)
    write_report(study, NOW)
    said = f"{model}: 1 failed and 2 filtered of {len(own)} images; no pair with them was shown."
    before, _, after = source(study).partition(said)
    assert after
    assert 'id="answer"' in before
    assert 'id="win-rates"' not in before
