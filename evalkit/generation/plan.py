"""What is to be made: a row for every model, prompt and seed, and whether its image is there."""

import pandas as pd

from evalkit.errors import StudyError
from evalkit.generation.disk import usable
from evalkit.generation.record import holds, image_file, is_intact, read_record
from evalkit.lock import has_votes, require_same_plan, require_unchanged
from evalkit.models import ModelSpec
from evalkit.prompts import draw_prompts, read_prompts
from evalkit.study_folder import StudyFolder


def draw(folder: StudyFolder) -> pd.DataFrame:
    """The prompts of the study (`tables.PROMPTS`), drawn afresh from their source."""
    source = folder.study.prompts
    prompts = read_prompts(source.source, folder.root)
    return draw_prompts(prompts, source.n, source.draw, folder.study.seed)


def plan_images(folder: StudyFolder, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per image of the study: the columns of `Study.wanted_images`, made, sha256.

    Model by model in the order of the study file, then by prompt, then by seed. `made` is true
    where the image lies in the folder as recorded (or where a safety filter withheld it); an image
    that failed is to be tried again. Once there are votes the images are those of images.csv: none
    is tried again, and `sha256` is what the file of an image must have; before, it is empty.
    Nothing is written. Raises StudyError where two models have the same settings, since their
    images would be the same, and where the study, its prompts or images changed after a vote.
    """
    prompts = draw(folder) if prompts is None else prompts
    _check_settings(folder.study.models)
    plan = folder.study.wanted_images(prompts)
    with usable(folder):
        if not has_votes(folder):
            return plan.assign(made=_recorded(folder, plan), sha256="")
        require_same_plan(folder, prompts)
        require_unchanged(folder)
        images = folder.read_images().set_index("image_id")
        plan["sha256"] = images.loc[plan["image_id"], "sha256"].to_numpy()
        return plan.assign(made=_as_voted_on(folder, plan))


def describe_plan(folder: StudyFolder) -> str:
    """What `generate` would do, a line per model and one for all of them."""
    plan = plan_images(folder)
    lines = []
    for model in folder.study.models:
        made = plan.loc[plan["model"] == model.name, "made"]
        lines.append(
            f"{model.name}: {(~made).sum()} of {len(made)} images to make ({model.summary()})"
        )
    prompts, seeds = plan["prompt_id"].nunique(), len(folder.study.images.seeds)
    lines.append(
        f"{(~plan['made']).sum()} of {len(plan)} images to make "
        f"(models {len(folder.study.models)}, prompts {prompts}, seeds {seeds})"
    )
    return "\n".join(lines)


def _recorded(folder: StudyFolder, plan: pd.DataFrame) -> list[bool]:
    made = []
    for model, image_id in zip(plan["model"], plan["image_id"], strict=True):
        record = read_record(folder.images / model, image_id)
        made.append(record is not None and is_intact(folder.images / model, record))
    return made


def _as_voted_on(folder: StudyFolder, plan: pd.DataFrame) -> list[bool]:
    return [
        not row.sha256 or holds(image_file(folder.images / row.model, row.image_id), row.sha256)
        for row in plan.itertuples()
    ]


def _check_settings(models: tuple[ModelSpec, ...]) -> None:
    for number, model in enumerate(models):
        for other in models[:number]:
            if model.settings() == other.settings():
                raise StudyError(
                    f'models: "{other.name}" and "{model.name}" have the same settings, so they '
                    "make the same images; change one of them or take it out"
                )
