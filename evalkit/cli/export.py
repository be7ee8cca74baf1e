"""The command that takes a study's votes out for others: export."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.cli.results import Early


@app.command(epilog="Example: evalkit export results/my-study --to votes --format csv")
def export(
    path: StudyPath,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    form: Annotated[
        str, typer.Option("--format", help="csv, parquet, datasets, preference or pickapic.")
    ] = "csv",
    drop_annotators: Annotated[
        bool, typer.Option("--drop-annotators", help="No annotators, sessions and times at all.")
    ] = False,
    with_reasons: Annotated[
        bool, typer.Option("--with-reasons", help="Free texts too; they may name people.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    early: Early = False,
) -> None:
    """Write the votes into a folder for others, annotators under other names.

    csv and parquet are tables that evalkit analyze reads back, datasets a data set with images,
    preference chosen and rejected images, pickapic the columns of Pick-a-Pic.
    """
    import json

    from evalkit.exports import export_study
    from evalkit.study_folder import open_study

    done = export_study(
        open_study(path),
        to,
        form,
        early_at=now() if early else None,
        drop_annotators=drop_annotators,
        with_reasons=with_reasons,
    )
    if as_json:
        print(json.dumps(done.as_json(), indent=2, ensure_ascii=False))
        return
    for stamp in done.stamps:
        print(stamp)
    for name, n in done.rows.items():
        print(f"{done.folder / name}: {n:,} rows")
    for reason, n in done.left_out.items():
        print(f"Left out: {n:,} {reason}")
