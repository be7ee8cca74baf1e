"""The command line: each command parses, makes one call and says what came of it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.errors import EvalkitError

# Libraries are imported inside the commands: `evalkit --help` must answer at once.

app = typer.Typer(
    help="Matched images, blind votes and win rates with honest intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")],
    preset: Annotated[str, typer.Option(help="scenes, or sdxl-turbo.")] = "scenes",
) -> None:
    """Make a study folder with a commented study.toml."""
    from evalkit.presets import init_study

    file = init_study(path, preset)
    print(f"Wrote {file}. Read it, change it, then run: evalkit generate {path}")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show it whole.")] = None,
) -> None:
    """List the models of the catalogue, or show one and what a study may change."""
    from evalkit.models.listing import describe_model, list_models

    print(list_models() if name is None else describe_model(name))


@app.command()
def generate(
    path: StudyPath,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per call.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    engine: Annotated[str | None, typer.Option(help="local, or ray for many GPUs.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Of Ray: how many.")] = None,
    address: Annotated[str | None, typer.Option(help="Of Ray: of a running cluster.")] = None,
) -> None:
    """Make the study's images: the same prompts and seeds for every model."""
    from evalkit import generation
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study

    folder = open_study(path)
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


@app.command()
def bench(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="None: all of the study.")
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
) -> None:
    """Time models in parts: prompt encoding, one denoiser forward, decoding, the whole call."""
    from evalkit import bench as benchmark
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
            now=_now(),
            root=folder.root if folder else Path(),
            progress=progress,
        )
    print("\n".join(benchmark.bench_lines(result)))
    # A study's own file has all of its models, so that its report compares them.
    file = out or (folder.bench_file if folder and not models else None)
    if file is not None:
        write_json(file, result)
        print(f"Wrote {file}")


@app.command()
def invite(
    path: StudyPath,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="How many annotators.")] = 1,
    url: Annotated[str, typer.Option(help="Where they reach it.")] = "http://localhost:8501",
) -> None:
    """Make personal links, one per annotator; each is shown only now."""
    from evalkit.collection import invite
    from evalkit.study_folder import open_study

    for link in invite(open_study(path), n, now=_now(), url=url):
        print(link)


@app.command()
def serve(
    path: StudyPath,
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8501,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from elsewhere.")] = "127.0.0.1",
) -> None:
    """Start the app in which annotators vote; stop it with Ctrl-C."""
    from evalkit.collection import open_collection
    from evalkit.study_folder import open_study

    try:
        from study_app.server import serve
    except ModuleNotFoundError as error:
        raise EvalkitError(
            f"serve: the app needs {error.name}, which is not installed; run: "
            'pip install "evalkit[app]"'
        ) from None
    folder = open_study(path)
    open_collection(folder, now=_now())
    serve(folder.store_file, folder.blinded, port=port, host=host)


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


@app.command()
def analyze(
    path: Annotated[Path, typer.Argument(metavar="STUDY|FILE.csv", help="Study folder or votes.")],
    out: Annotated[Path | None, typer.Option(help="Where the tables of a FILE.csv go.")] = None,
) -> None:
    """Estimate win rates and ratings from a study's votes, or from votes collected elsewhere."""
    from evalkit.result_tables import analyze_file, analyze_study
    from evalkit.study_folder import open_study
    from evalkit.wording import win_rate_lines

    if path.suffix in (".csv", ".tsv"):
        if out is None:
            raise EvalkitError(f"analyze: {path} needs a folder for its tables; add --out DIR")
        results = analyze_file(path, out)
    else:
        if out is not None:
            raise EvalkitError(
                f"analyze: --out is for vote files; the tables of {path} go into it; leave it out"
            )
        folder = open_study(path)
        out = folder.analysis
        results = analyze_study(folder)
    print("\n".join(win_rate_lines(results["win_rates"])))
    print(f"Tables in {out}")


@app.command()
def report(path: StudyPath) -> None:
    """Write the report page."""
    from evalkit.report import write_report
    from evalkit.study_folder import open_study

    print(f"Report: {write_report(open_study(path), now=_now())}")


@app.command()
def demo(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where.")] = Path("results/demo"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where you vote.")] = 8501,
) -> None:
    """Run the whole chain on built-in models with simulated votes, then let you vote."""
    from evalkit.demo import run_demo

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    run_demo(path, now=_now(), interactive=interactive, port=port)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds")


def main() -> None:
    """Run a command; a user's mistake is one sentence on stderr and exit code 2."""
    # OpenMP threads that spin while they wait make a machine with other work several times slower.
    # Those that never spin make an idle one 1.4 times slower: so they spin for a moment.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    try:
        app()
    except EvalkitError as error:
        print(f"evalkit: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"evalkit: {error.filename}: {error.strerror}; check the path, its permissions and the "
            "space on the disk",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
