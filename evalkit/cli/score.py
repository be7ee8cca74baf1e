"""Commands about metrics: metrics, score."""

import sys
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app
from evalkit.errors import EvalkitError


@app.command(epilog="Example: evalkit metrics")
def metrics() -> None:
    """List the metrics, with kind, weights, licence, range, which way is better, and source."""
    from evalkit.scoring.listing import list_metrics

    print(list_metrics())


@app.command(epilog="Example: evalkit score results/my-study --metric clip_score")
def score(
    path: StudyPath,
    metric: Annotated[
        list[str], typer.Option(help="May be given several times; all: every one of images.")
    ] = ["clip_score"],  # noqa: B006  (Typer copies it)
    weights: Annotated[
        str | None,
        typer.Option(help="Of one metric: a name, or a local copy; docs/metrics.md lists them."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="DIR|model:NAME", help="Of metrics of sets.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for many GPUs.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Of Ray: how many.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score the images by metrics; `evalkit metrics` lists them. What is known is kept."""
    import json

    from evalkit.progress import progress_bar
    from evalkit.scoring import score
    from evalkit.scoring.chosen import chosen_metrics
    from evalkit.scoring.engines import require_engine
    from evalkit.scoring.told import told_json, told_lines
    from evalkit.study_folder import open_study

    folder = open_study(path)
    chosen = chosen_metrics(metric, weights)
    require_engine(engine, workers, device)
    made, failed = [], {}
    for name in chosen:
        try:
            with progress_bar("images") as progress:
                table = score(
                    folder, name, weights, progress, engine=engine, workers=workers,
                    reference=reference, device=device, batch_size=batch_size,
                )  # fmt: skip
        except EvalkitError as error:  # the other metrics go on
            said = str(error)
            failed[name] = said if name in said else f"{name}: {said.removeprefix('score: ')}"
            print(f"evalkit: {failed[name]}", file=sys.stderr)
            continue
        made.append(told_json(table))
        if not as_json:
            print("\n".join(told_lines(table)))
    if as_json:
        print(json.dumps({"metrics": made, "failed": failed}, indent=2, ensure_ascii=False))
    if failed:
        raise typer.Exit(2)
