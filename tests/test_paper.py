"""What a paper takes from a report: LaTeX tables with the numbers of the CSV, and the methods."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import tables
from evalkit.analysis import agreement
from evalkit.errors import StudyError
from evalkit.report import latex, write_report
from evalkit.report.methods import methods, plain
from evalkit.report.paper import write_paper
from evalkit.report.results import read_results
from evalkit.report.supplement import latex_tables, write_tables
from evalkit.report.terms import MEASURES
from evalkit.study_folder import StudyFolder
from tests.report_study import write_study

NOW = "2025-01-02T10:00:00Z"
DASH = "--"


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The report of the same votes, of people and simulated."""
    folders = {}
    for name, simulated in (("people", False), ("simulated", True)):
        folder = write_study(tmp_path_factory.mktemp(name), simulated=simulated)
        votes = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
        found = agreement(votes, replicates=50)
        tables.write(found, folder.analysis / "agreement.csv", tables.AGREEMENT)
        write_report(folder, NOW)
        folders[name] = folder
    return folders


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, simulated=False, n_prompts=3)


def table_of(folder: StudyFolder, name: str) -> str:
    return (folder.report / "tables" / name).read_text("utf-8")


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row between the rules; an escaped ampersand is no border."""
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    lines = [line.removesuffix(" \\\\") for line in body.splitlines()]
    return [re.split(r" (?<!\\)& ", line) for line in lines]


def numbers_of(cell: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", cell)]


# LaTeX tables


@pytest.mark.parametrize("name", ["win_rates", "ratings", "agreement"])
def test_every_row_has_as_many_cells_as_the_table_has_columns(studies, name):
    text = table_of(studies["people"], f"{name}.tex")
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1)
    heading = text.split("\\toprule\n")[1].split("\n")[0]
    rows = [re.split(r" (?<!\\)& ", heading), *rows_of(text)]
    assert {len(row) for row in rows} == {len(columns)}
    rules = ["\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}"]
    assert [line for line in text.splitlines() if line in rules] == rules


def test_win_rates_are_those_of_the_csv_to_the_digits_shown(studies):
    rows = rows_of(table_of(studies["people"], "win_rates.tex"))
    csv = pd.read_csv(studies["people"].report / "tables" / "win_rates.csv")
    csv = csv.set_index(["question_id", "model_a", "model_b"])
    assert len(rows) == len(csv) == 6
    for question_id, model_a, model_b, rate, interval, *counts, p_value, p_holm in rows:
        row = csv.loc[question_id, model_a, model_b]
        assert rate == f"{100 * row['win_rate_a']:.1f}"
        assert interval == f"{100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}"
        assert [int(n) for n in counts] == list(row[["wins_a", "wins_b", "ties", "both_bad", "n"]])
        for shown, value in ((p_value, row["p_value"]), (p_holm, row["p_holm"])):
            assert shown == ("$<$0.001" if value < 0.001 else f"{value:.3f}")


def test_ratings_say_rank_and_who_is_tied_for_first(studies):
    rows = rows_of(table_of(studies["people"], "ratings.tex"))
    csv = pd.read_csv(studies["people"].report / "tables" / "ratings.csv")
    csv = csv.set_index(["question_id", "model"])
    assert len(rows) == len(csv) == 6
    for question_id, model, rating, interval, elo, rank, tied, n in rows:
        row = csv.loc[question_id, model]
        assert numbers_of(rating) == [round(row["rating"], 2)]
        assert ("$-" in rating) == (row["rating"] < 0)
        assert numbers_of(interval) == [round(row["ci_low"], 2), round(row["ci_high"], 2)]
        assert numbers_of(elo) == [round(row["elo"])]
        low, high = int(row["rank_low"]), int(row["rank_high"])
        assert rank == (str(low) if low == high else f"{low}--{high}")
        assert tied == ("yes" if row["tied_for_first"] else "no")
        assert int(n) == row["n"]
    assert {row[6] for row in rows} == {"yes", "no"}


def test_agreement_is_that_of_the_csv(studies):
    rows = rows_of(table_of(studies["people"], "agreement.tex"))
    csv = tables.read(studies["people"].analysis / "agreement.csv", tables.AGREEMENT)
    csv = csv.sort_values("question_id", ascending=False, kind="stable")  # quality is asked first
    for row, expected in zip(rows, csv.to_dict("records"), strict=True):
        value = expected["estimate"]
        assert row[:2] == [expected["question_id"], MEASURES[expected["measure"]]]
        assert row[2] == DASH if np.isnan(value) else numbers_of(row[2]) == [round(value, 3)]
        assert int(row[4]) == expected["n"]
    assert [row[2] for row in rows].count(DASH) == 2  # nobody saw a pair again


def test_simulated_votes_are_said_in_every_table_that_is_printed(studies):
    for name in ("win_rates", "ratings", "agreement"):
        text = table_of(studies["simulated"], f"{name}.tex")
        assert re.search(r"\\multicolumn\{\d+\}\{l\}\{\\textbf\{SIMULATED VOTES\}\}", text)
        assert "SIMULATED" not in table_of(studies["people"], f"{name}.tex")


def test_exclusions_and_metrics_have_tables_where_the_analysis_has_them(study):
    exclusions = pd.DataFrame(
        {
            "rule": ["attention_below", "excluded"], "limit": [0.75, None], "least": [4, None],
            "n_judged": [8, None], "n_annotators": [1, 1], "n_votes": [30, 30],
        }
    )  # fmt: skip
    tables.write(exclusions, study.analysis / "exclusions.csv", tables.EXCLUSIONS)
    metrics = pd.DataFrame(
        {
            "question_id": ["quality"], "metric": ["clip_score"], "weights": ["ViT_B/32 & 5%"],
            "measure": ["accuracy"], "estimate": [0.61234], "ci_low": [0.5], "ci_high": [0.7],
            "n": [100], "n_prompts": [3], "n_annotators": [8], "method": ["50% of them"],
        }
    )  # fmt: skip
    tables.write(metrics, study.analysis / "metric_agreement.csv", tables.METRIC_AGREEMENT)
    write_tables(read_results(study))
    assert rows_of(table_of(study, "exclusions.tex")) == [
        ["attention below", "0.75", "1", "30"],
        ["excluded", "", "1", "30"],
    ]
    assert rows_of(table_of(study, "metric_agreement.tex")) == [
        ["quality", "clip\\_score", "ViT\\_B/32 \\& 5\\%", "votes predicted", "0.612",
         "0.500 to 0.700", "100", "3", "8"]
    ]  # fmt: skip
    (study.analysis / "metric_agreement.csv").unlink()
    write_tables(read_results(study))
    assert not (study.report / "tables" / "metric_agreement.tex").exists()


def test_what_was_not_estimated_is_a_dash_and_never_nan(study):
    frame = tables.read(study.analysis / "win_rates.csv", tables.WIN_RATES)
    frame.loc[0, ["win_rate_a", "ci_low", "ci_high", "p_value", "p_holm"]] = np.nan
    text = latex.win_rate_latex(frame, "").text
    assert [rows_of(text)[0][at] for at in (3, 4, 10, 11)] == [DASH] * 4
    assert "nan" not in text


def test_characters_that_latex_reads_are_printed():
    assert latex.escaped("a_b & 50% #1 $x {y} ~ ^ \\ <z>") == (
        r"a\_b \& 50\% \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}z\textgreater{}"
    )
    assert latex.escaped("two\nlines") == "two lines"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_tables_compile(studies, tmp_path):
    folder = studies["simulated"].report / "tables"
    inputs = "\n".join(f"\\input{{{path.as_posix()}}}\n" for path in sorted(folder.glob("*.tex")))
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(text + inputs + "\\end{document}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


# Methods


def test_methods_say_how_the_study_was_done(studies):
    text = (studies["people"].report / "methods.md").read_text("utf-8")
    main = tables.read(studies["people"].analysis / "comparisons.csv", tables.COMPARISONS)
    votes = main["annotator_id"].value_counts()
    for words in (
        "We used 12 prompts of the source scenes, all of them.",
        "The source has 15 rows; dropped: 2 duplicate, 1 over-long.",
        "Prompts that a model cuts at its limit: scenes-base 1 (limit 77 tokens).",
        "one image per prompt and seed (2 seeds: 0, 1)",
        "canvas of 480 pixels",
        "- scenes-lcm: catalogue scenes-lcm",
        "scheduler LCMScheduler",
        "steps 4",
        "torch 2.0",
        'quality: "Which image looks better made & \\<b\\>cleaner\\</b\\>?", without the prompt',
        "with the prompt above the images; answers offered: the left image, the right image, no",
        f"8 annotators gave the 432 main votes that count, {votes.min()} to {votes.max()} each",
        "by personal links that the coordinator gave out",
        "We store your choices",
        "4 votes planned per pair of images and question, each by another annotator",
        "The study's seed is 7.",
        "5% of an annotator's trials were attention checks",
        "The rules of exclusion were fixed before the votes: none",
        "the comparisons of two models that one of them won; ties and both bad count half (two-way",
        "corrected by Holm over the pairs",
        "432 of 432 planned votes were there at the analysis. Earlier looks at results: none.",
        f"The study file has the SHA-256 {studies['people'].study.sha256}.",
        "locked at 2025-01-01T00:00:00.000+00:00 before the votes",
    ):
        assert words in text, words
    assert "simulated" not in text.lower()


def test_the_methods_of_simulated_votes_say_so_first_and_claim_no_people(studies):
    text = (studies["simulated"].report / "methods.md").read_text("utf-8")
    first, second = text.split("\n\n")[:2]
    assert first == "# Methods"
    assert second.startswith("**SIMULATED VOTES: votes of this study were made by a program")
    assert "8 simulated annotators gave" in text
    assert "agreed to this text" not in text
    assert "personal links" not in text


def test_an_early_look_is_said_in_the_methods(study):
    file = study.analysis / "summary.json"
    content = json.loads(file.read_text("utf-8"))
    looks = [{"at": NOW, "given": 100, "planned": 200}]
    content["planned_votes"] = {"given": 100, "planned": 200, "early_looks": looks}
    file.write_text(json.dumps(content))
    results = read_results(study, early=True)
    text = methods(results, NOW)
    assert text.split("\n\n")[1].startswith("**EARLY LOOK: 100 of 200 planned votes")
    assert f"Earlier looks at results: 100 of 200 votes at {NOW}." in text
    assert "EARLY LOOK" in latex_tables(results)["win_rates.tex"].text


def test_texts_of_the_study_are_no_markdown():
    assert plain("*bold* <b> [x](y)\n# `z` _u_") == (r"\*bold\* \<b\> \[x\](y) \# \`z\` \_u\_")


# The annotator's screen


def test_a_picture_of_the_screen_comes_into_the_report_and_goes_with_it(study):
    Image.new("RGB", (1280, 720), "grey").save(study.screen_file)
    write_report(study, NOW)
    beside = study.report / "annotator-screen.png"
    assert beside.read_bytes() == study.screen_file.read_bytes()
    page = (study.report / "index.html").read_text("utf-8")
    assert '<a href="annotator-screen.png"><img src="data:image/webp;base64,' in page
    study.screen_file.unlink()
    assert write_paper(read_results(study), [], NOW) == ["methods.md", "datasheet.md"]
    assert not beside.exists()


def test_a_screen_that_is_no_picture_is_refused(study):
    study.screen_file.write_text("no picture")
    with pytest.raises(StudyError, match=r"annotator-screen\.png: the image cannot be read"):
        write_report(study, NOW)
    assert not study.report.exists()
