"""Commands about results: analyze, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.result_tables import Analysis


MAIL_BYTES = 18_000_000  # the usual limit of 25 MB, after a mail's own encoding
Early = Annotated[
    bool,
    typer.Option("--early", help="Before the planned votes are there; recorded, and said."),
]


@app.command(epilog="Example: evalkit analyze votes.csv --out tables")
def analyze(
    path: Annotated[Path, typer.Argument(metavar="STUDY|FILE", help="Study folder or vote file.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the tables go; a study has a place.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Win rates per value too: category, ...")] = None,
    ties: Annotated[str, typer.Option(help="half, drop, or model (in ratings).")] = "half",
    interval: Annotated[
        str, typer.Option(help="two-way, wilson, by-prompt, by-annotator or bootstrap.")
    ] = "two-way",
    form: Annotated[
        str | None, typer.Option("--format", help="Of a FILE: evalkit, arena or pickapic.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    out_of_core: Annotated[
        bool, typer.Option("--out-of-core", help="Count a .parquet FILE on the disk.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All tables as one JSON object.")] = False,
    early: Early = False,
) -> None:
    """Estimate win rates and ratings from a study's votes, or from votes collected elsewhere.

    A FILE is CSV, TSV, Parquet or JSONL.
    """
    from evalkit.result_tables import Options
    from evalkit.vote_files import ENDINGS

    options = Options(ties=ties, interval=interval, by=by, seed=seed)
    if path.suffix.lower() in ENDINGS or path.is_file():
        if out is None:
            raise EvalkitError(f"analyze: {path} needs a folder for its tables; add --out DIR")
        from evalkit.progress import progress_bar
        from evalkit.result_tables import analyze_file

        _refuse_beside("a vote file", path, {"--early": early})
        with progress_bar("parts", in_pipe=False) as progress:
            analysis = analyze_file(
                path, out, options, format=form, out_of_core=out_of_core, progress=progress
            )
    else:
        from evalkit.result_tables import analyze_study
        from evalkit.study_folder import open_study

        beside = {"--format": form, "--out-of-core": out_of_core}
        _refuse_beside("a study", path, beside)
        folder = open_study(path)
        out = out or folder.analysis
        analysis = analyze_study(folder, now() if early else None, options, out)
    _print_analysis(analysis, out, as_json)


def _refuse_beside(kind: str, path: Path, options: dict[str, object]) -> None:
    """EvalkitError on an option that means nothing for a vote file, or for a study."""
    why = {
        "--early": "it is about planned votes",
        "--format": "it has its votes in a database",
        "--out-of-core": "it has its votes in a database",
    }
    for option, given in options.items():
        if given:
            raise EvalkitError(
                f"analyze: {option} with {kind} ({path}): {why[option]}; leave it out"
            )


def _print_analysis(analysis: "Analysis", out: Path, as_json: bool) -> None:
    import json

    from evalkit.cli.terminal import ALARM, show_lines
    from evalkit.wording import analysis_lines

    if as_json:
        print(json.dumps(analysis.as_json(), indent=2, ensure_ascii=False))
        return
    if analysis.banner:
        show_lines([analysis.banner], head=0, style=ALARM)
    print("\n".join(analysis_lines(analysis.results, analysis.summary)))
    print(f"Tables in {out}")


@app.command(epilog="Example: evalkit report results/my-study --embed")
def report(
    path: StudyPath,
    early: Early = False,
    embed: Annotated[
        bool,
        typer.Option("--embed", help="All pairs' images inside the page, small: one file to send."),
    ] = False,
) -> None:
    """Write the report page."""
    from evalkit.progress import progress_bar
    from evalkit.report import write_report
    from evalkit.study_folder import open_study

    with progress_bar("images") as progress:
        page = write_report(open_study(path), now(), early, embed, progress)
    size = page.stat().st_size
    print(f"Report: {page}" + (f" ({size / 1e6:.1f} MB, its images inside)" if embed else ""))
    if embed and size > MAIL_BYTES:
        print("Most mail servers refuse that; without --embed the images lie beside the page.")
