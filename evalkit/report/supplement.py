"""The files beside the page: result tables as CSV and LaTeX, figures as PDF."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from evalkit import tables
from evalkit.files import write_bytes, write_text
from evalkit.report import latex
from evalkit.report.results import Results
from evalkit.report.vector import pdf
from evalkit.report_files import LABELLED

TABLES = (
    "win_rates", "win_rates_by_*", "anytime", "tie_rules", "sides", "ratings", "stability", "elo",
    "agreement", "annotators", "exclusions", "sensitivity", "comparisons", "scores",
    "sets", "spreads", "metric_agreement", "metric_bins", "metric_differences", "disagreements",
    "judge_bias", "speed",
)  # fmt: skip
_OF_SITTINGS = ["trial_id", "session_id", "created_at"]  # by which votes could be joined to people


def write_tables(results: Results) -> list[str]:
    """Copy the result tables and scores into report/tables, and write those of a paper as LaTeX.

    Those of `LABELLED` have the page's labels in place of stored ids, and `comparisons` neither
    trials and sittings nor times. Gives their paths from the page.
    """
    target = results.folder.report / "tables"
    sources = [
        *(path for name in TABLES for path in sorted(results.folder.analysis.glob(f"{name}.csv"))),
        results.folder.analysis / "summary.json",
        *sorted(results.folder.scores.glob("*.csv")),
    ]
    present = [source for source in sources if source.is_file()]
    for source in present:
        if source.stem not in LABELLED:
            write_bytes(target / source.name, source.read_bytes())
    for name, (frame, table) in _labelled(results).items():
        if f"{name}.csv" in {source.name for source in present}:
            tables.write(frame, target / f"{name}.csv", table)
    papers = latex_tables(results)
    for name, table in papers.items():
        write_text(target / name, table.text)
    names = [*(source.name for source in present), *papers]
    _keep_only(target, set(names))
    return [f"tables/{name}" for name in names]


def _labelled(results: Results) -> dict[str, tuple[pd.DataFrame, tables.Table]]:
    """The tables of `LABELLED` with what they are, as they may be shown to others."""
    labels = results.annotator_labels
    votes, people, stability = results.every_vote, results.annotators, results.stability
    votes = votes.assign(annotator_id=votes["annotator_id"].map(labels)).drop(columns=_OF_SITTINGS)
    people = people.assign(annotator_id=people["annotator_id"].map(labels))
    without = stability["without"].map(labels).where(stability["dropped"] == "annotator")
    stability = stability.assign(without=without.fillna(stability["without"]))
    return {
        "comparisons": (votes, tables.IMPORTED_VOTES),
        "annotators": (people, tables.ANNOTATORS),
        "stability": (stability, tables.STABILITY),
    }


def latex_tables(results: Results) -> dict[str, latex.LatexTable]:
    """The tables that a paper prints, by file name; those without rows are left out."""
    found = {
        "win_rates.tex": (latex.win_rate_latex, results.win_rates),
        "ratings.tex": (latex.rating_latex, results.ratings),
        "agreement.tex": (latex.agreement_latex, results.agreement),
        "exclusions.tex": (latex.exclusion_latex, results.exclusions),
        "metric_agreement.tex": (latex.metric_agreement_latex, results.metric_agreement),
    }
    return {
        name: table(frame, results.stamp)
        for name, (table, frame) in found.items()
        if not frame.empty
    }


def write_figures(results: Results, figures: dict[str, Figure]) -> None:
    """Write each figure as report/figures/NAME.pdf."""
    target = results.folder.report / "figures"
    for name, figure in figures.items():
        write_bytes(target / f"{name}.pdf", pdf(figure))
    _keep_only(target, {f"{name}.pdf" for name in figures})


def _keep_only(target: Path, names: set[str]) -> None:
    """Take away what an earlier report left there."""
    for path in target.iterdir() if target.is_dir() else ():
        if path.name not in names:
            path.unlink()
