"""Commands about results: score, analyze, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.study_folder import StudyFolder


@app.command()
def score(
    path: StudyPath,
    metric: Annotated[str, typer.Option(help="clip_score, or scene_attributes.")] = "clip_score",
    weights: Annotated[
        str | None,
        typer.Option(help="architecture/pretrained, a folder, or scenes-clip."),
    ] = None,
) -> None:
    """Score every image by a metric."""
    from evalkit.metrics import score
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study
    from evalkit.wording import score_lines

    folder = open_study(path)
    with progress_bar("images") as progress:
        scores = score(folder, metric=metric, weights=weights, progress=progress)
    print("\n".join(score_lines(scores)))


Early = Annotated[
    bool,
    typer.Option("--early", help="Before the planned votes are there; recorded, and said."),
]


@app.command()
def analyze(
    path: Annotated[Path, typer.Argument(metavar="STUDY|FILE.csv", help="Study folder or votes.")],
    out: Annotated[Path | None, typer.Option(help="Where the tables of a FILE.csv go.")] = None,
    early: Early = False,
) -> None:
    """Estimate win rates and ratings from a study's votes, or from votes collected elsewhere."""
    from evalkit.result_tables import analyze_file, analyze_study
    from evalkit.study_folder import open_study
    from evalkit.wording import win_rate_lines

    if path.suffix in (".csv", ".tsv"):
        if out is None:
            raise EvalkitError(f"analyze: {path} needs a folder for its tables; add --out DIR")
        if early:
            raise EvalkitError(
                f"analyze: --early is for studies, whose planned votes are known; {path} is a "
                "vote file; leave it out"
            )
        results = analyze_file(path, out)
    else:
        if out is not None:
            raise EvalkitError(
                f"analyze: --out is for vote files; the tables of {path} go into it; leave it out"
            )
        folder = open_study(path)
        out = folder.analysis
        results = analyze_study(folder, early_at=now() if early else None)
        _say_if_early(folder)
    print("\n".join(win_rate_lines(results["win_rates"])))
    print(f"Tables in {out}")


def _say_if_early(folder: "StudyFolder") -> None:
    from evalkit.report import analysed_votes

    if banner := analysed_votes(folder).banner:
        print(banner)


@app.command()
def report(path: StudyPath, early: Early = False) -> None:
    """Write the report page."""
    from evalkit.report import write_report
    from evalkit.study_folder import open_study

    print(f"Report: {write_report(open_study(path), now=now(), early=early)}")
