"""The page: results -> report/index.html, one file that opens from disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from evalkit import tables
from evalkit.files import write_text
from evalkit.report import cells, examples, figures
from evalkit.report.copies import SMALL_SIDE, Copies, Progress, make_copies
from evalkit.report.datasheet import datasheet, simulation
from evalkit.report.explorer import explore
from evalkit.report.exports import write_figures, write_tables
from evalkit.report.results import Results, read_results
from evalkit.report.vector import svg
from evalkit.study_folder import StudyFolder
from evalkit.study_sections import Question
from evalkit.wording import (
    anytime_sentence,
    counted,
    exclusion_sentence,
    is_before_the_end,
    win_rate_sentence,
)

_FOLDER = Path(__file__).parent
_STYLES = ("page", "explorer")


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: its file name, what it shows in words, and how it is drawn."""

    name: str
    caption: str
    figure: Figure
    described: str

    @property
    def svg(self) -> Markup:
        """The figure as an `<svg>` element."""
        return Markup(svg(self.figure, self.name, self.described))


@dataclass(frozen=True)
class Answer:
    """One question with a sentence per pair and how firmly it stands; see `firmness`."""

    question: Question
    sentences: list[tuple[str, str]]


def write_report(
    folder: StudyFolder,
    now: str,
    early: bool = False,
    embed: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write report/index.html with tables, figures and pairs beside it; gives the page's path.

    Everything shown comes from the study's files; the same files and `now` give the same page.
    `embed` puts small copies of all images into the page. `progress(done, total, label)` is called
    per image that is copied (see `make_copies`).
    Raises StudyError, with the command to run first, where images, votes or analysis are missing,
    and where the analysis was an early look, unless `early`.
    """
    results = read_results(folder, early)
    content = _content(results, now, make_copies(results, embed, progress))
    drawings = [drawing for group in content["drawings"].values() for drawing in group]
    write_figures(results, {drawing.name: drawing.figure for drawing in drawings})
    page = folder.report / "index.html"
    write_text(page, render({**content, "table_files": write_tables(results)}))
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


def _content(results: Results, now: str, copies: Copies) -> dict[str, Any]:
    explorer = explore(results, copies)
    simulated = tables.SIMULATED if results.simulated else ""  # these hold at every look
    return {
        "results": results,
        "study": results.study,
        "facts": _facts(results),
        "early": results.planned_votes.banner,
        "simulated": _simulated(results),
        "simulated_words": tables.SIMULATED,
        "simulation": simulation(results),
        "answers": [_answer(results, question.id) for question in results.study.questions],
        "excluded": _excluded(results),
        "not_shown": _not_shown(results),
        "drawings": {
            "win_rates": [_win_rates(results, name) for name in results.question_ids],
            "ratings": [_ratings(results, name) for name in results.question_ids],
            "scores": _scores(results),
            "speed": _speed(results),
        },
        "sheets": {
            "win_rates": cells.win_rate_sheet(results.win_rates, results.stamp),
            "anytime": cells.anytime_sheet(results.anytime, simulated),
            "exclusions": cells.exclusion_sheet(results.exclusions, results.stamp),
            "sensitivity": cells.sensitivity_sheet(results.sensitivity, results.stamp),
            "ratings": cells.rating_sheet(results.ratings, results.stamp),
            "scores": cells.score_sheet(results.mean_scores, results.stamp_beside),
            "speed": cells.speed_sheet(results.speed, results.stamp_beside),
        },
        "explorer": explorer,
        "small_side": SMALL_SIDE,
        "examples": examples.choose_examples(explorer, copies),
        "examples_chosen": examples.CHOSEN,
        "datasheet": datasheet(results, now),
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


def _excluded(results: Results) -> str:
    """How many main votes do not count, by which rules, in words; empty where all do."""
    return exclusion_sentence(results.summary) if results.summary["votes_excluded"] else ""


def _not_shown(results: Results) -> list[str]:
    """A sentence per model of which some images could not be shown."""
    sentences = []
    for model, statuses in results.images.groupby("model", sort=False)["status"]:
        counts = statuses.value_counts().drop("ok", errors="ignore").sort_index()
        if len(counts):
            what = " and ".join(f"{n:,} {status}" for status, n in counts.items())
            of = counted(len(statuses), "image")
            sentences.append(f"{model}: {what} of {of}; no pair with them was shown.")
    return sentences


def _answer(results: Results, question_id: str) -> Answer:
    if is_before_the_end(results.summary) and not results.anytime.empty:
        rows = _asked(results.anytime, question_id).to_dict("records")
        sentences = [(anytime_sentence(row), firmness(row)) for row in rows]
    else:
        rows = _asked(results.win_rates, question_id).to_dict("records")
        sentences = [(win_rate_sentence(row), firmness(row)) for row in rows]
    sentences = sentences or [("There are no votes on this question yet.", "open")]
    return Answer(results.study.question(question_id), sentences)


def firmness(row: dict[str, Any]) -> str:
    """`firm`: a preference, also by the test over all pairs (Holm, .05); `single`: by the interval
    of this pair alone; `open`: none shown. What was not estimated is open."""
    if not (row["ci_low"] > 0.5 or row["ci_high"] < 0.5):
        return "open"
    return "firm" if row["p_holm"] <= 0.05 else "single"


def _win_rates(results: Results, question_id: str) -> Drawing:
    asked = _asked(results.win_rates, question_id)
    described = " ".join(win_rate_sentence(row) for row in asked.to_dict("records"))
    return Drawing(
        f"win-rates-{question_id}",
        results.study.question(question_id).text,
        figures.win_rate_figure(asked, results.stamp),
        f"Win rates on {question_id}. {described}",
    )


def _ratings(results: Results, question_id: str) -> Drawing:
    asked = _asked(results.ratings, question_id)
    return Drawing(
        f"ratings-{question_id}",
        results.study.question(question_id).text,
        figures.rating_figure(asked, results.stamp),
        f"Ratings on {question_id}; the numbers are in the table of ratings.",
    )


def _scores(results: Results) -> list[Drawing]:
    groups = results.mean_scores.groupby(["metric", "weights"], sort=True)
    return [
        Drawing(
            f"scores-{number}",
            f"{metric}, weights {weights}",
            figures.score_figure(means.sort_values("mean", ascending=False), results.stamp_beside),
            f"Mean {metric} per model; the numbers are in the table of scores.",
        )
        for number, ((metric, weights), means) in enumerate(groups, start=1)
    ]


def _speed(results: Results) -> list[Drawing]:
    if results.speed.empty:
        return []
    words = figures.seconds_words(results.speed)
    compiled = figures.compiled_models(results.speed)
    said = f" Timed compiled: {', '.join(compiled)}." if compiled else ""
    return [
        Drawing(
            f"speed-{question_id}",
            f"Up is preferred, left is faster. Across: {words}, median and quartiles.{said}",
            figures.speed_figure(
                _asked(results.ratings, question_id), results.speed, results.stamp
            ),
            f"Rating on {question_id} against {words}; the numbers are in the tables.",
        )
        for question_id in results.question_ids
    ]


def _asked(frame: pd.DataFrame, question_id: str) -> pd.DataFrame:
    return frame[frame["question_id"] == question_id]
