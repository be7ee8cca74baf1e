"""The human evaluation datasheet: every question of it, answered from the files or left open."""

import re
from pathlib import Path

import pytest

from evalkit import tables
from evalkit.analysis import agreement
from evalkit.report import write_report
from evalkit.report.heds import OPEN, heds
from evalkit.report.results import read_results
from evalkit.study_folder import StudyFolder
from tests.report_study import write_study

NOW = "2025-01-02T10:00:00Z"

# The numbers of the questions of Shimorina & Belz (2022); those of 4 once per quality criterion.
GENERAL = [
    "1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "2.4", "2.5", "3.1.1", "3.1.2", "3.1.3", "3.2.1",
    "3.2.2", "3.2.3", "3.2.4", "3.2.5", "3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "3.3.6",
    "3.3.7", "3.3.8",
]  # fmt: skip
CRITERION = [
    "4.1.1", "4.1.2", "4.1.3", "4.2.1", "4.2.2", "4.2.3", "4.3.1", "4.3.2", "4.3.3", "4.3.4",
    "4.3.5", "4.3.6", "4.3.7", "4.3.8", "4.3.9", "4.3.10", "4.3.11",
]  # fmt: skip
ETHICS = ["5.1", "5.2", "5.3", "5.4"]


def answers_of(folder: StudyFolder) -> list[tuple[str, str]]:
    """(number, answer) of every row, in order."""
    rows = [row for part in heds(read_results(folder)) for row in part.rows]
    return [(label.split(" ")[0], answer) for label, [answer] in rows]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = write_study(tmp_path_factory.mktemp("people"), simulated=False)
    votes = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
    found = agreement(votes, replicates=50)
    tables.write(found, folder.analysis / "agreement.csv", tables.AGREEMENT)
    return folder


def changed(folder: StudyFolder, old: str, new: str) -> StudyFolder:
    """The study with other words in study.toml, as it is read before its lock is looked at."""
    file = folder.root / "study.toml"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    return StudyFolder(folder.root)


def test_every_question_of_the_datasheet_stands_in_order_with_an_answer(people: StudyFolder):
    found = answers_of(people)
    assert [number for number, _ in found] == [*GENERAL, *CRITERION, *CRITERION, *ETHICS]
    assert all(answer.strip() for _, answer in found)


def test_what_the_files_know_is_filled_in(people: StudyFolder):
    found = answers_of(people)
    known, first, second = dict(found), dict(found[24:41]), dict(found[41:58])
    assert known["2.2"] == "visual: images of 96 x 96 px"
    assert known["3.1.1"] == "24"  # 12 prompts x 2 seeds
    assert known["3.2.1"] == "8 (with main votes that count)"
    assert "2 practice trials before each question" in known["3.2.4"]
    assert known["3.3.1"].startswith("Locked before the votes, at 2025-01-01T00:00:00.000+00:00.")
    assert first["4.1.3"].startswith("quality of output in its own right")
    assert second["4.1.3"].startswith("quality of output relative to the input")
    assert (first["4.3.3"], first["4.3.4"]) == (
        "3",
        "the left image, the right image, no difference",
    )
    assert first["4.3.7"] == "Which image looks better made & <b>cleaner</b>?"
    assert "two-way (prompt x annotator) Wilson" in first["4.3.9"]


def test_agreement_is_that_of_the_analysis(people: StudyFolder):
    csv = tables.read(people.analysis / "agreement.csv", tables.AGREEMENT)
    alpha = csv[csv["measure"] == "krippendorff_alpha"].set_index("question_id")["estimate"]
    found = answers_of(people)
    for question_id, place in (("quality", 40), ("alignment", 57)):
        number, answer = found[place]
        assert number == "4.3.11"
        assert f"Krippendorff's alpha {alpha[question_id]:.3f} (" in answer
        assert "same answer on a repeat not estimated (" in answer


def test_what_the_files_do_not_know_is_left_to_the_authors(people: StudyFolder):
    open_ones = [number for number, answer in answers_of(people) if OPEN in answer]
    assert open_ones == [
        "1.1", "1.2", "1.3", "2.4", "3.1.3", "3.2.2", "3.2.3", "3.2.5", "3.3.1", "3.3.3", "3.3.6",
        "3.3.7", "3.3.8", "4.1.1", "4.1.2", "4.1.1", "4.1.2", "5.1", "5.2", "5.3", "5.4",
    ]  # fmt: skip


def test_entry_by_prolific_and_reasons_are_said(tmp_path: Path):
    folder = write_study(tmp_path, simulated=False, n_prompts=3)
    entry = '[entry]\nkind = "prolific"\nlimit = 40\ncompletion_code = "SECRET1"\n'
    folder = changed(folder, "[prompts]", f"{entry}[prompts]")  # not in the study's hash
    known = dict(answers_of(folder))
    assert known["3.2.3"].startswith("They came through Prolific, at most 40 people.")
    assert known["3.3.7"].endswith("online (through Prolific)")
    assert "the ids that Prolific gives (of the person's a hash as well)" in known["5.2"]
    for kept in (
        "choices, corrections and their times",
        "agreed",
        "withdrew",
        "consent",
        "window and screen",
        "hashes of links and cookies",
        "under labels in its report",
    ):
        assert kept in known["5.2"], kept
    assert "free text" not in known["5.2"]  # no reasons were asked for
    assert "SECRET1" not in str(known)


def test_simulated_votes_are_no_evaluators(tmp_path: Path):
    folder = write_study(tmp_path, simulated=True, n_prompts=3)
    known = dict(answers_of(folder))
    assert known["3.2.1"] == "0 people; 8 simulated annotators"
    for number in ("3.2.2", "3.2.3", "3.2.4", "3.2.5", "3.3.2", "4.2.1", "5.2"):
        assert tables.SIMULATED in known[number], number
    write_report(folder, NOW)
    text = (folder.report / "datasheet.md").read_text("utf-8")
    assert text.split("\n\n")[1] == f"**{tables.SIMULATED}**"


def test_the_page_ends_with_the_datasheet_and_a_missing_screen_is_said(people: StudyFolder):
    write_report(people, NOW)
    page = (people.report / "index.html").read_text("utf-8")
    sections = re.findall(r'<section id="([\w-]+)">', page)
    assert sections[-1] == "heds"
    last = page[page.index('<section id="heds">') :]
    numbers = re.findall(r'<th scope="row">([\d.]+) ', last)
    assert numbers == [number for number, _ in answers_of(people)]
    assert "A picture of it is missing: make one with evalkit screen STUDY" in last
    text = (people.report / "datasheet.md").read_text("utf-8")
    assert re.findall(r"^- \*\*([\d.]+) ", text, flags=re.MULTILINE) == numbers
    assert r"\<b\>cleaner\</b\>" in text
