"""generate: draw the prompts, make what is missing, write the tables."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

import pandas as pd

from evalkit import tables
from evalkit.errors import ModelError
from evalkit.files import remove, remove_leftovers
from evalkit.generation.disk import usable
from evalkit.generation.drawn import DrawnPrompts, draw
from evalkit.generation.engines import choose_engine, load_engine
from evalkit.generation.manifest import write_tables
from evalkit.generation.plan import plan_with_records
from evalkit.generation.record import Record, record_file
from evalkit.generation.survey import Survey
from evalkit.generation.task import Options, Render, Task
from evalkit.generation.tasks import find_tasks
from evalkit.lock import has_votes, is_unchanged, require_same_plan
from evalkit.study_folder import StudyFolder

Progress = Callable[[int, int, str], None]


def generate(
    folder: StudyFolder,
    *,
    engine: str | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Make the images of the study that are not there yet; gives all of them (`tables.IMAGES`).

    Writes prompts.csv, a PNG and a record per image, images.csv and manifest.json, each file whole
    or not at all: a run that was stopped goes on where it stood. `engine` is `local` (this process)
    or `ray` (`workers` on the cluster at `address`; see `ray_engine`); without it, `choose_engine`
    does. `batch_size` is images per call at most (without it, `Task.batch_size`, and where nothing
    is there yet, `default_batch_size`), `device` as in `load_pipeline`. `progress` gets (images
    there, images of the study, model). An image that a model could not make has the status
    `failed`. `say` gets a line for each thing that the user is to know of: rows of the prompts'
    source that were dropped, prompts that a model cuts, the choice of the engine, a long wait,
    images that failed or were filtered.

    Once there are votes, the tables stay (or are written again) as they were locked, and a damaged
    image is made again only where it comes out as it was.

    Raises ModelError after the last model, naming each that could not be loaded or run; the images
    of the others are made and listed then. Raises it before anything is written for what can be
    known then (see `find_tasks`). Raises StudyError where the disk or the cluster refuses, and
    where the study has changed since it was locked and there are votes.
    """
    options = Options(batch_size, device, workers, address, say or (lambda line: None))
    start = load_engine(engine, options) if engine else None
    drawn = draw(folder)
    with usable(folder):
        fixed = has_votes(folder)
        if fixed:
            _restore_tables(folder, drawn.table)
        plan, records = plan_with_records(folder, drawn.table)
        tasks = list(find_tasks(folder, plan, records))
        start = start or choose_engine(tasks, options, options.say)
        with start(folder, options) if tasks else nullcontext() as render:
            _begin(folder, drawn, plan, records, fixed, options.say)
            try:
                _render_all(render, tasks, plan, records, progress)
            finally:
                images = folder.read_images() if fixed else _write_tables(folder, plan, records)
                _report_not_ok(plan, records, options.say)
    return images


def _begin(
    folder: StudyFolder,
    drawn: DrawnPrompts,
    plan: pd.DataFrame,
    records: dict[str, Record],
    fixed: bool,
    say: Callable[[str], None],
) -> None:
    """Clear away what was left, and write down the prompts and what is there."""
    _remove_leftovers(folder)
    if not (plan["made"].all() and drawn.is_recorded(folder)):
        _report_prompts(folder, drawn, fixed, say)
    if not fixed:
        tables.write(drawn.table, folder.prompts_file, tables.PROMPTS)
        _forget_damaged(folder, plan, records)
        # So that a stopped run leaves tables without images of other settings.
        write_tables(folder, plan, records)


def _render_all(
    render: Render,
    tasks: list[Task],
    plan: pd.DataFrame,
    records: dict[str, Record],
    progress: Progress | None,
) -> None:
    """Run the tasks; ModelError at the end, of all models that could not be run.

    While the others run, only what an error says is kept: the error holds all that was loaded.
    """
    problems = []
    done, total = int(plan["made"].sum()), len(plan)
    show = progress or (lambda done, total, model: None)
    show(done, total, "")
    for task in tasks:
        model = task.spec.name
        show(done, total, model)

        def written(new: list[Record], model: str = model) -> None:
            nonlocal done
            records.update((record.image_id, record) for record in new)
            done += len(new)
            show(done, total, model)

        try:
            render(task, written)
        except ModelError as error:
            problems.append(str(error))
    if problems:
        raise ModelError("; ".join(dict.fromkeys(problems)))


def _write_tables(
    folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]
) -> pd.DataFrame:
    """The tables at the end of a run, with what another one has made meanwhile."""
    unknown = plan[~plan["image_id"].isin(records.keys())]
    records |= Survey(folder, unknown).read_records(unknown)
    return write_tables(folder, plan, records)


def _report_not_ok(
    plan: pd.DataFrame, records: dict[str, Record], say: Callable[[str], None]
) -> None:
    """Say of each model how many of its images failed or were filtered, and why."""
    found = Counter(
        (row.model, record.status, record.reason)
        for row in plan.itertuples()
        if (record := records.get(row.image_id)) is not None and record.status != "ok"
    )
    for (model, status, reason), n in found.items():
        say(f"{model}: {n} {status} ({reason})")


def _report_prompts(
    folder: StudyFolder, drawn: DrawnPrompts, fixed: bool, say: Callable[[str], None]
) -> None:
    """Say and write down what was dropped and is cut; keep the input images with the study."""
    lengths = drawn.measure(folder)
    for line in drawn.report(lengths):
        say(line)
    drawn.copy_inputs(folder)
    if not fixed:
        drawn.write_record(folder, lengths)


def _restore_tables(folder: StudyFolder, prompts: pd.DataFrame) -> None:
    """Write prompts.csv and images.csv again where they are not as they were locked."""
    require_same_plan(folder, prompts)
    if not is_unchanged(folder):
        tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    if not is_unchanged(folder):
        plan = folder.study.wanted_images(prompts)
        write_tables(folder, plan, Survey(folder, plan).read_records(plan))


def _remove_leftovers(folder: StudyFolder) -> None:
    for place in (
        folder.root,
        folder.images,
        *(folder.images / name for name in folder.study.model_names),
    ):
        remove_leftovers(place)


def _forget_damaged(folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]) -> None:
    """Take away the records of images that are to be remade but are recorded as being there."""
    missing = plan[~plan["made"]]
    for image_id, model in zip(missing["image_id"], missing["model"], strict=True):
        if image_id in records and records[image_id].status == "ok":
            remove(record_file(folder.images / model, image_id))
            del records[image_id]
