"""The page: results -> report/index.html, one file that opens from disk."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit import tables
from evalkit.files import write_text
from evalkit.report import examples
from evalkit.report.copies import SMALL_SIDE, Copies, Progress, data_uri, make_copies, opened, webp
from evalkit.report.datasheet import datasheet, simulation
from evalkit.report.explorer import explore
from evalkit.report.heds import SCREEN, heds
from evalkit.report.paper import write_paper
from evalkit.report.results import Results, read_results
from evalkit.report.sections import answer
from evalkit.report.sections.metrics import metrics_section
from evalkit.report.sections.ratings import ratings_section
from evalkit.report.sections.slices import slices_section
from evalkit.report.sections.speed import speed_section
from evalkit.report.sections.voters import voters_section
from evalkit.report.sections.win_rates import win_rates_section
from evalkit.report.supplement import write_figures, write_tables
from evalkit.report_files import write_record
from evalkit.study_folder import StudyFolder
from evalkit.wording import counted

_FOLDER = Path(__file__).parent
_STYLES = ("page", "explorer")
_SCREEN_SIDE = 1280  # px, as wide as the window that is photographed
_SECTIONS = (  # between the answer and the pairs, in this order
    win_rates_section,
    speed_section,
    ratings_section,
    slices_section,
    voters_section,
    metrics_section,
)


def write_report(
    folder: StudyFolder,
    now: str,
    early: bool = False,
    embed: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write report/index.html, and beside it tables/*.csv and *.tex, figures/*.pdf, copies of the
    images in pairs/, methods.md and datasheet.md, and files.json with the SHA-256 of all these;
    gives the page's path.

    Everything shown comes from the study's files; the same files and `now` give the same page.
    `embed` puts small copies of all images into the page. `progress(done, total, label)` is called
    per image that is copied (see `make_copies`).
    Raises StudyError, with the command to run first, where images, votes or analysis are missing,
    and where the analysis was an early look, unless `early`.
    """
    results = read_results(folder, early)
    screen = _screen(results)  # read before anything is written
    folder.report_record.unlink(missing_ok=True)  # it comes last: a report without is not whole
    content = _content(results, now, make_copies(results, embed, progress), screen)
    drawings = [drawing for section in content["sections"] for drawing in section.drawings]
    write_figures(results, {drawing.name: drawing.figure for drawing in drawings})
    page = folder.report / "index.html"
    files = [*write_tables(results), *write_paper(results, content["heds"], now)]
    write_text(page, render({**content, "table_files": files}))
    write_record(folder)
    return page


def render(content: dict[str, Any]) -> str:
    """The page's HTML; all text is escaped but for figures, style sheets and script."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup("".join((_FOLDER / f"{name}.css").read_text("utf-8") for name in _STYLES))
    script = Markup((_FOLDER / "explorer.js").read_text("utf-8"))
    page = environment.get_template("page.html")
    return page.render(style=style, explorer_script=script, **content)


def _content(results: Results, now: str, copies: Copies, screen: str) -> dict[str, Any]:
    explorer = explore(results, copies)
    return {
        "results": results,
        "study": results.study,
        "facts": _facts(results),
        "early": results.planned_votes.banner,
        "simulated": _simulated(results),
        "simulated_words": tables.SIMULATED,
        "simulation": simulation(results),
        "answers": answer.answers(results),
        "excluded": answer.excluded(results),
        "not_shown": answer.not_shown(results),
        "sections": [section(results) for section in _SECTIONS],
        "explorer": explorer,
        "small_side": SMALL_SIDE,
        "examples": examples.choose_examples(explorer, copies),
        "examples_chosen": examples.CHOSEN,
        "datasheet": datasheet(results, now),
        "heds": heds(results),
        "annotator_screen": screen,
        "now": now,
    }


def _facts(results: Results) -> list[tuple[str, ...]]:
    """The sizes of the study, as number and noun."""
    main = results.comparisons[results.comparisons["kind"] == "main"]
    sizes = [
        (len(results.study.models), "model"),
        (len(results.prompts), "prompt"),
        (len(results.study.images.seeds), "seed"),
        (len(results.question_ids), "question"),
        (main["annotator_id"].nunique(), "annotator"),
        (len(main), "comparison"),
    ]
    return [tuple(counted(n, noun).split(" ")) for n, noun in sizes]


def _simulated(results: Results) -> str:
    """How many of the votes are simulated, in words; empty where none is."""
    if not results.simulated:
        return ""
    n, votes = len(results.comparisons), results.comparisons
    simulated = int((votes["vote_source"] == tables.SIMULATED).sum())
    share = f"All {n:,}" if simulated == n else f"{simulated:,} of the {n:,}"
    return (
        f"{share} comparisons behind this page (repeats included) were made by simulated "
        "annotators, not by people: they show that the chain works, not what people prefer."
    )


def _screen(results: Results) -> str:
    """The picture of the annotator's screen as a data URI; empty where there is none."""
    file = results.folder.screen_file
    return data_uri(webp(opened(file, SCREEN), _SCREEN_SIDE, 88)) if file.is_file() else ""
