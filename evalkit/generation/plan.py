"""What is to be made: a row for every model, prompt and seed, and whether its image is there."""

from typing import Any

import pandas as pd

from evalkit.errors import StudyError
from evalkit.generation.disk import usable
from evalkit.generation.drawn import draw
from evalkit.generation.record import Record
from evalkit.generation.survey import Survey
from evalkit.lock import has_votes, require_same_plan, require_unchanged
from evalkit.models import ModelSpec
from evalkit.study_folder import StudyFolder


def plan_images(folder: StudyFolder, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per image of the study: the columns of `Study.wanted_images`, made, sha256.

    Model by model in the order of the study file, then by prompt, then by seed. `made` is true
    where the image lies in the folder as recorded (or where a safety filter withheld it); an image
    that failed is to be tried again. Once there are votes the images are those of images.csv: none
    is tried again, and `sha256` is what the file of an image must have; before, it is empty.
    Nothing is written. Raises StudyError where two models have the same settings, since their
    images would be the same, and where the study, its prompts or images changed after a vote.
    """
    return plan_with_records(folder, draw(folder).table if prompts is None else prompts)[0]


def plan_with_records(
    folder: StudyFolder, prompts: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Record]]:
    """The plan, as `plan_images`, and the records that lie there, by image id."""
    _check_settings(folder.study.models)
    plan = folder.study.wanted_images(prompts)
    with usable(folder):
        fixed = has_votes(folder)
        if fixed:
            require_same_plan(folder, prompts)
            require_unchanged(folder)
            images = folder.read_images().set_index("image_id")
            plan["sha256"] = images.loc[plan["image_id"], "sha256"].to_numpy()
        survey = Survey(folder, plan)
        records = survey.read_records(plan)
        made = survey.intact(plan, records)
        return (plan if fixed else plan.assign(sha256="")).assign(made=made), records


def describe_plan(folder: StudyFolder) -> str:
    """What `generate` would do: lines on the prompts, one per model and one for all of them."""
    drawn = draw(folder)
    plan = plan_images(folder, drawn.table)
    lines = drawn.report([] if plan["made"].all() else drawn.measure(folder))
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


def plan_as_json(folder: StudyFolder) -> dict[str, Any]:
    """What `generate` would do, for a script: images to make and in all, by model and together."""
    plan = plan_images(folder)
    models = [
        {"model": model.name, "to_make": int((~made).sum()), "images": len(made)}
        for model in folder.study.models
        for made in [plan.loc[plan["model"] == model.name, "made"]]
    ]
    return {"to_make": int((~plan["made"]).sum()), "images": len(plan), "models": models}


def _check_settings(models: tuple[ModelSpec, ...]) -> None:
    for number, model in enumerate(models):
        for other in models[:number]:
            if model.settings() == other.settings():
                raise StudyError(
                    f'models: "{other.name}" and "{model.name}" have the same settings, so they '
                    "make the same images; change one of them or take it out"
                )
