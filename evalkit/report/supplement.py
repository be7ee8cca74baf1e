"""The files beside the page: result tables as CSV and LaTeX, figures as PDF."""

from pathlib import Path

from matplotlib.figure import Figure

from evalkit.files import write_bytes, write_text
from evalkit.report import latex
from evalkit.report.results import Results
from evalkit.report.vector import pdf

TABLES = (
    "win_rates", "win_rates_by_*", "anytime", "tie_rules", "sides", "ratings", "stability", "elo",
    "agreement", "annotators", "exclusions", "sensitivity", "comparisons", "scores",
    "sets", "spreads", "metric_agreement", "metric_bins", "metric_differences", "disagreements",
    "judge_bias", "speed",
)  # fmt: skip


def write_tables(results: Results) -> list[str]:
    """Copy the result tables and scores into report/tables, and write those of a paper as LaTeX.

    Gives their paths from the page.
    """
    target = results.folder.report / "tables"
    sources = [
        *(path for name in TABLES for path in sorted(results.folder.analysis.glob(f"{name}.csv"))),
        results.folder.analysis / "summary.json",
        *sorted(results.folder.scores.glob("*.csv")),
    ]
    present = [source for source in sources if source.is_file()]
    for source in present:
        write_bytes(target / source.name, source.read_bytes())
    papers = latex_tables(results)
    for name, table in papers.items():
        write_text(target / name, table.text)
    names = [*(source.name for source in present), *papers]
    _keep_only(target, set(names))
    return [f"tables/{name}" for name in names]


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
