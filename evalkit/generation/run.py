"""generate: draw the prompts, make what is missing, write the tables."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pandas as pd

from evalkit import tables
from evalkit.errors import ModelError
from evalkit.files import remove_leftovers
from evalkit.generation.disk import usable
from evalkit.generation.drawn import DrawnPrompts, draw
from evalkit.generation.engines import choose_engine, load_engine
from evalkit.generation.manifest import write_tables
from evalkit.generation.plan import plan_with_records
from evalkit.generation.record import Record, record_file
from evalkit.generation.survey import Survey
from evalkit.generation.task import Options, Render, Task
from evalkit.generation.worker import request, wanted
from evalkit.lock import has_votes, is_unchanged, require_same_plan
from evalkit.pipelines import check
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
    or `ray` (`workers` on the cluster at `address`; see `ray_engine`); without it,
    `choose_engine` does. `batch_size` is images per call (without it, `default_batch_size`),
    `device` as in `load_pipeline`. `progress` gets (images
    there, images of the study, model). An image that a model could not make has the status
    `failed`. `say` gets a line for rows of the prompts' source that were dropped, and for prompts
    that a model cuts (prompts.json records them), and for the choice of the engine.

    Once there are votes, the tables stay (or are written again) as they were locked, and a damaged
    image is made again only where it comes out as it was.

    Raises ModelError after the last model, naming each that could not be loaded or run; the images
    of the others are made and listed then. Raises it before anything is written for what can be
    known then (see `pipelines.check`). Raises StudyError where the disk refuses, and where the
    study has changed since it was locked and there are votes.
    """
    options = Options(batch_size, device, workers, address)
    say = say or (lambda line: None)
    start = load_engine(engine, options) if engine else None
    drawn = draw(folder)
    with usable(folder):
        fixed = has_votes(folder)
        if fixed:
            _restore_tables(folder, drawn.table)
        plan, records = plan_with_records(folder, drawn.table)
        tasks = list(_tasks(folder, plan, records))
        start = start or choose_engine(tasks, options, say)
        with start(folder, options) if tasks else nullcontext() as render:
            _remove_leftovers(folder)
            if tasks or not drawn.is_recorded(folder):
                _report_prompts(folder, drawn, fixed, say)
            if not fixed:
                tables.write(drawn.table, folder.prompts_file, tables.PROMPTS)
                _forget_damaged(folder, plan, records)
                # So that a stopped run leaves tables without images of other settings.
                write_tables(folder, plan, records)
            try:
                problems = _render_all(render, tasks, plan, records, progress)
            finally:
                images = folder.read_images() if fixed else _write_tables(folder, plan, records)
    if problems:
        raise ModelError("; ".join(dict.fromkeys(str(problem) for problem in problems)))
    return images


def _tasks(folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]) -> Iterator[Task]:
    """A task for each model that lacks images; ModelError for what can be known before it runs."""
    for spec in folder.study.models:
        own = plan[plan["model"] == spec.name]
        missing = own[~own["made"]]
        if missing.empty:
            continue
        check(spec.located(folder.root), [request(folder, image) for image in wanted(missing)])
        # Once there are votes, the files themselves must come out as they were.
        there = [] if own["sha256"].any() else own.loc[own["made"], "image_id"]
        runs = {records[image_id].run for image_id in there}
        yield Task(folder, spec, missing, runs)


def _render_all(
    render: Render,
    tasks: list[Task],
    plan: pd.DataFrame,
    records: dict[str, Record],
    progress: Progress | None,
) -> list[ModelError]:
    """Run the tasks; gives the models' errors. A model that cannot run does not stop the others."""
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
            problems.append(error)
    return problems


def _write_tables(
    folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]
) -> pd.DataFrame:
    """The tables at the end of a run, with what another one has made meanwhile."""
    unknown = plan[~plan["image_id"].isin(records.keys())]
    records |= Survey(folder, unknown).read_records(unknown)
    return write_tables(folder, plan, records)


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
    for place in (folder.root, *(folder.images / name for name in folder.study.model_names)):
        remove_leftovers(place)


def _forget_damaged(folder: StudyFolder, plan: pd.DataFrame, records: dict[str, Record]) -> None:
    """Take away the records of images that are to be remade but are recorded as being there."""
    missing = plan[~plan["made"]]
    for image_id, model in zip(missing["image_id"], missing["model"], strict=True):
        if image_id in records and records[image_id].status == "ok":
            record_file(folder.images / model, image_id).unlink(missing_ok=True)
            del records[image_id]
