"""What is to be made: a row for every model, prompt and seed, and whether its image is there."""

import pandas as pd

from evalkit.errors import StudyError
from evalkit.generation.disk import usable
from evalkit.generation.record import is_intact, read_record
from evalkit.models import ModelSpec
from evalkit.prompts import draw_prompts, read_prompts
from evalkit.study_folder import StudyFolder

COLUMNS = ("image_id", "prompt_id", "prompt", "model", "seed", "made")


def draw(folder: StudyFolder) -> pd.DataFrame:
    """The prompts of the study (`tables.PROMPTS`), drawn afresh from their source."""
    source = folder.study.prompts
    prompts = read_prompts(source.source, folder.root)
    return draw_prompts(prompts, source.n, source.draw, folder.study.seed)


def plan_images(folder: StudyFolder, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per image of the study: image_id, prompt_id, prompt, model, seed, made.

    Model by model in the order of the study file, then by prompt, then by seed. `made` is true
    where the image lies in the folder as recorded (or where a safety filter withheld it); an image
    that failed is to be tried again. Nothing is written. Raises StudyError where two models have
    the same settings, since their images would be the same.
    """
    study = folder.study
    prompts = draw(folder) if prompts is None else prompts
    _check_settings(study.models)
    rows = [
        (model.image_id(prompt, seed), prompt_id, prompt, model.name, seed)
        for model in study.models
        for prompt_id, prompt in zip(prompts["prompt_id"], prompts["prompt"], strict=True)
        for seed in study.images.seeds
    ]
    plan = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    with usable(folder):
        plan["made"] = [
            _made(folder, model, image_id)
            for model, image_id in zip(plan["model"], plan["image_id"], strict=True)
        ]
    return plan


def describe_plan(folder: StudyFolder) -> str:
    """What `generate` would do, a line per model and one for all of them."""
    plan = plan_images(folder)
    lines = []
    for model in folder.study.models:
        made = plan.loc[plan["model"] == model.name, "made"]
        lines.append(
            f"{model.name}: {(~made).sum()} of {len(made)} images to make "
            f"({model.repository}, {model.width}x{model.height}, steps {model.steps}, "
            f"guidance {model.guidance:g})"
        )
    prompts, seeds = plan["prompt_id"].nunique(), len(folder.study.images.seeds)
    lines.append(
        f"{(~plan['made']).sum()} of {len(plan)} images to make "
        f"(models {len(folder.study.models)}, prompts {prompts}, seeds {seeds})"
    )
    return "\n".join(lines)


def _made(folder: StudyFolder, model: str, image_id: str) -> bool:
    record = read_record(folder.images / model, image_id)
    return record is not None and is_intact(folder.images / model, record)


def _check_settings(models: tuple[ModelSpec, ...]) -> None:
    for number, model in enumerate(models):
        for other in models[:number]:
            if model.settings() == other.settings():
                raise StudyError(
                    f'models: "{other.name}" and "{model.name}" have the same settings, so they '
                    "make the same images; change one of them or take it out"
                )
