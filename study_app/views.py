"""What reaches an annotator's page: texts, questions, prompt where shown; never what is whose."""

import hashlib
from collections.abc import Sequence
from typing import Any

from evalkit.store import BlindedStudy, Progress, Trial, Vote


def consent_version(study: BlindedStudy) -> str:
    """A short name of the consent text: who agreed to another one is asked again."""
    return hashlib.sha256(study.session.consent.encode()).hexdigest()[:12]


def settings_view(study: BlindedStudy, annotator_id: str) -> dict[str, Any]:
    """How the page behaves; `outbox` names what it keeps in this annotator's browser."""
    return {
        "viewing_size": study.viewing_size,
        "min_viewing_ms": study.design.min_viewing_ms,
        "keys": study.session.keys.model_dump(),
        "break_minutes": study.session.break_minutes,
        "reasons": study.session.reasons,
        "outbox": hashlib.sha256(f"outbox {annotator_id}".encode()).hexdigest()[:16],
    }


def trial_views(
    study: BlindedStudy, trials: Sequence[Trial], progress: Progress
) -> list[dict[str, Any]]:
    """The trials as the page may know them, the one to show first.

    The prompt is there only where the question shows it; the kind of trial is not, but for
    practice. Blocks are counted on from the progress, which stands at the first trial.
    """
    return [
        {**_trial_view(study, trial), **place}
        for trial, place in zip(trials, _places(study, trials, progress), strict=True)
    ]


def _trial_view(study: BlindedStudy, trial: Trial) -> dict[str, Any]:
    question = study.question(trial.question_id)
    view = {
        "trial_id": trial.trial_id,
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "practice": trial.kind == "practice",
    }
    return {**view, "prompt": trial.prompt} if question.show_prompt else view


def _places(
    study: BlindedStudy, trials: Sequence[Trial], progress: Progress
) -> list[dict[str, int]]:
    places, counted = [], progress.block_done
    for trial in trials:
        part = study.parts.index(trial.question_id) + 1
        block, blocks = 1, study.blocks(trial.question_id)
        if part == progress.part:
            blocks = progress.blocks
            block = min(blocks, progress.block + counted // max(1, progress.block_total))
        places.append({"part": part, "parts": len(study.parts), "block": block, "blocks": blocks})
        counted += trial.kind != "practice"
    return places


def feedback_view(vote: Vote, trial: Trial, expected: str) -> dict[str, Any]:
    """What is said after a practice trial."""
    return {"right": vote.choice == expected, "expected": expected, "foil": trial.foil}
