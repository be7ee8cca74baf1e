"""The files beside the page: result tables as CSV, figures as PDF."""

import shutil

from matplotlib.figure import Figure

from evalkit.files import write_bytes
from evalkit.report.results import Results
from evalkit.report.vector import pdf

TABLES = ("win_rates", "ratings", "comparisons", "scores", "speed")


def write_tables(results: Results) -> list[str]:
    """Copy the result tables and scores into report/tables; gives their paths from the page."""
    target = results.folder.report / "tables"
    shutil.rmtree(target, ignore_errors=True)  # a table of an earlier report must not stay
    target.mkdir(parents=True)
    sources = [
        *(results.folder.analysis / f"{name}.csv" for name in TABLES),
        results.folder.analysis / "summary.json",
        *sorted(results.folder.scores.glob("*.csv")),
    ]
    present = [source for source in sources if source.is_file()]
    for source in present:
        shutil.copyfile(source, target / source.name)
    return [f"tables/{source.name}" for source in present]


def write_figures(results: Results, figures: dict[str, Figure]) -> None:
    """Write each figure as report/figures/NAME.pdf."""
    target = results.folder.report / "figures"
    shutil.rmtree(target, ignore_errors=True)
    for name, figure in figures.items():
        write_bytes(target / f"{name}.pdf", pdf(figure))
