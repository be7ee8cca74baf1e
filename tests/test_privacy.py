"""Where votes and ids of people lie in a study folder, and what a withdrawal leaves of them."""

import re
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from evalkit.collection import open_collection
from evalkit.report import write_report
from evalkit.result_tables import analyze_study
from evalkit.study_folder import StudyFolder
from tests.exported import people_study
from tests.study_factory import NOW

PRIVACY = Path(__file__).parents[1] / "docs" / "privacy.md"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return people_study(tmp_path_factory.mktemp("people") / "study")


def reported(folder: StudyFolder) -> None:
    """What `evalkit analyze` and `evalkit report` write."""
    analyze_study(folder, early_at=NOW)
    write_report(folder, NOW, early=True)


def files_with(folder: StudyFolder, text: str) -> set[str]:
    """The files of the study that hold a text, by their paths in it, but for the database's."""
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder.root))
        for path in files
        if text.encode() in path.read_bytes() and not path.name.startswith("votes.")
    }


def test_stored_ids_lie_only_where_the_page_on_privacy_says(people: StudyFolder) -> None:
    reported(people)
    row = next(line for line in PRIVACY.read_text("utf-8").splitlines() if "once more" in line)
    named = {f"analysis/{name}" for name in re.findall(r"`(\w+\.csv)`", row)}
    found = files_with(people, "hidden-")
    assert found <= named
    assert "analysis/comparisons.csv" in found


def test_a_withdrawal_leaves_the_tables_when_they_are_made_again(people: StudyFolder) -> None:
    reported(people)
    with closing(open_collection(people, NOW)) as store:
        gone = store.withdraw("hidden-6", NOW)
    assert gone > 0
    votes = people.analysis / "comparisons.csv"
    shown = people.report / "tables" / "comparisons.csv"
    before = len(pd.read_csv(shown))
    assert "hidden-6" in set(pd.read_csv(votes)["annotator_id"])  # a copy knows of no withdrawal
    reported(people)
    assert "hidden-6" not in set(pd.read_csv(votes)["annotator_id"])
    assert len(pd.read_csv(shown)) < before
    said = " ".join(PRIVACY.read_text("utf-8").split())
    assert "run `evalkit analyze` and `evalkit report` again after a withdrawal" in said
