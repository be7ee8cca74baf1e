"""What a paper takes from a study beside its tables: methods, datasheet, the annotator's screen."""

from collections.abc import Sequence

from evalkit import tables
from evalkit.files import write_bytes, write_text
from evalkit.report.datasheet import Part
from evalkit.report.methods import methods, plain
from evalkit.report.results import Results

_ABOUT = (
    "Questions and numbers as in Shimorina & Belz (2022), The Human Evaluation Datasheet, HumEval "
    "2022. Written from the study's files; what they do not know is marked and is the authors' to "
    "fill in."
)


def write_paper(results: Results, parts: Sequence[Part], now: str) -> list[str]:
    """Write report/methods.md, report/datasheet.md of these parts, and the annotator's screen.

    The picture is the study folder's, where it has one; gives their paths from the page.
    """
    report, screen = results.folder.report, results.folder.screen_file
    write_text(report / "methods.md", methods(results, now))
    write_text(report / "datasheet.md", datasheet_text(results, parts))
    if screen.is_file():
        write_bytes(report / screen.name, screen.read_bytes())
        return ["methods.md", "datasheet.md", screen.name]
    (report / screen.name).unlink(missing_ok=True)  # of an earlier report
    return ["methods.md", "datasheet.md"]


def datasheet_text(results: Results, parts: Sequence[Part]) -> str:
    """The parts as Markdown: a heading each, a line per question with its answer."""
    lines = [f"# Human evaluation datasheet: {plain(results.study.name)}"]
    lines += [f"**{tables.SIMULATED}**"] if results.simulated else []
    lines += [f"**{plain(results.planned_votes.banner)}**"] if results.planned_votes.banner else []
    lines.append(_ABOUT)
    for part in parts:
        rows = [f"- **{label}**: {plain(answer)}" for label, [answer] in part.rows]
        lines += [f"## {plain(part.title)}", "\n".join(rows)]
    screen = results.folder.screen_file
    lines += [f"![What annotators see]({screen.name})"] if screen.is_file() else []
    return "\n\n".join(lines) + "\n"
