"""Commands about images: generate, bench."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.cli.completion import model_names
from evalkit.errors import EvalkitError


@app.command(epilog="Example: evalkit generate results/my-study --dry-run")
def generate(
    path: StudyPath,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Of --dry-run: one JSON object.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per call.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    engine: Annotated[str | None, typer.Option(help="local, or ray for many GPUs.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Of Ray: how many.")] = None,
    address: Annotated[str | None, typer.Option(help="Of Ray: of a running cluster.")] = None,
) -> None:
    """Make the study's images: the same prompts and seeds for every model."""
    from evalkit import generation
    from evalkit.cli.terminal import show_json
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study

    folder = open_study(path)
    if as_json and not dry_run:
        raise EvalkitError("generate: --json is for --dry-run; add that, or leave --json out")
    if as_json:
        show_json(generation.plan_as_json(folder))
        return
    if dry_run:
        print(generation.describe_plan(folder))
        return
    with progress_bar("images") as progress:
        images = generation.generate(
            folder,
            engine=engine,
            batch_size=batch_size,
            device=device,
            workers=workers,
            address=address,
            progress=progress,
            say=print,
        )
    made = images["status"].value_counts().to_dict()
    counts = ", ".join(f"{made[status]} {status}" for status in made)
    print(f"{len(images)} images ({counts}) in {folder.images}")


@app.command(epilog="Example: evalkit bench scenes-turbo --batch 1,8 --out speed.json")
def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...", help="None: all of the study.", autocompletion=model_names
        ),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="Models with the settings of a study.")] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Nothing to fetch; times the same.")
    ] = False,
    batch: Annotated[str, typer.Option(help="Images per call, such as 1,8.")] = "1",
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls.")] = 20,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="All of a study: its bench.json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Time models in parts: prompt encoding, one denoiser forward, decoding, the whole call."""
    from evalkit import bench as benchmark
    from evalkit.cli.terminal import show_json, show_lines
    from evalkit.files import write_json
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study

    folder = None if study is None else open_study(study)
    sizes = benchmark.read_batch_sizes(batch)
    specs = benchmark.choose_models(models or [], folder)
    with progress_bar("batch sizes") as progress:
        result = benchmark.bench(
            specs,
            batch_sizes=sizes,
            repeats=repeats,
            device=device,
            random_weights=random_weights,
            now=now(),
            root=folder.root if folder else Path(),
            progress=progress,
        )
    if as_json:
        show_json(result)
    else:
        show_lines(benchmark.bench_lines(result), head=2)
    # A study's own file has all of its models, so that its report compares them.
    file = out or (folder.bench_file if folder and not models else None)
    if file is not None:
        write_json(file, result)
        if not as_json:
            print(f"Wrote {file}")
