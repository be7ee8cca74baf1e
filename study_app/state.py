"""Which stage an annotator's page is in now, and what it shows there."""

import secrets
from dataclasses import asdict
from typing import Any

from evalkit.store import (
    Annotator,
    AnnotatorBlockedError,
    BlindedStudy,
    Store,
    StudyFullError,
    StudyPausedError,
)
from study_app.answers import Visit
from study_app.views import consent_version, trial_views

AHEAD = 3  # trials an annotator holds at once: the one to show, and those loaded ahead


def stage(annotator: Annotator, version: str) -> str:
    """The stage as the annotator's own row says it; "vote" may still turn out otherwise.

    `version` is that of the consent text as it is now.
    """
    if annotator.withdrawn_at is not None:
        return "withdrawn"
    if annotator.blocked_at is not None:
        return "blocked"
    if annotator.finished_at is not None:
        return "done"
    if annotator.consented_at is None or annotator.consent_version != version:
        return "consent"
    if annotator.instructed_at is None:
        return "instructions"
    return "vote"


def current_state(visit: Visit, session_id: str) -> dict[str, Any]:
    """The stage with what the page needs there; trials are issued to this sitting.

    Raises StoreError where the sitting is not the annotator's.
    """
    store, study = visit.served.store, visit.study
    now = stage(visit.annotator, consent_version(study))
    if now in ("consent", "instructions"):
        if store.paused() is not None:
            return {"stage": "paused"}
        if not store.has_place(visit.annotator.annotator_id, visit.now):
            return {"stage": "full"}
    if now == "consent":
        text = study.session.consent
        return {"stage": now, "consent": {"text": text, "version": consent_version(study)}}
    if now == "instructions":
        return {"stage": now, "instructions": _instructions(store, study)}
    if now == "done":
        return _done(study)
    return _voting(visit, session_id) if now == "vote" else {"stage": now}


def _voting(visit: Visit, session_id: str) -> dict[str, Any]:
    store, annotator_id = visit.served.store, visit.annotator.annotator_id
    try:
        trials = store.lease_trials(
            annotator_id,
            session_id,
            [secrets.token_urlsafe(12) for _ in range(AHEAD)],
            visit.now,
            secrets.randbits(63),
        )
    except StudyPausedError:
        return {"stage": "paused"}
    except AnnotatorBlockedError:
        return {"stage": "blocked"}
    except StudyFullError:
        return {"stage": "full"}
    if not trials:
        why = store.ending(annotator_id)
        return _done(visit.study) if why == "done" else {"stage": why}
    # Only of the question on the screen: the prompt of a later part may not come before that part.
    trials = [trial for trial in trials if trial.question_id == trials[0].question_id]
    progress = store.progress(annotator_id)
    views = trial_views(visit.study, trials, progress)
    return {"stage": "vote", "trials": views, "progress": asdict(progress)}


def _instructions(store: Store, study: BlindedStudy) -> dict[str, Any]:
    """The text, and one example for each question that has one: its right side is named."""
    examples = [
        {
            "question_id": question.id,
            "question": question.text,
            "expected": example.expected,
            "foil": example.foil,
        }
        for question in study.questions
        if (example := store.example(question.id)) is not None
    ]
    return {"text": study.session.instructions, "examples": examples}


def _done(study: BlindedStudy) -> dict[str, Any]:
    completion = {"code": study.entry.completion_code, "return_url": study.entry.return_url}
    return {"stage": "done", "completion": completion if any(completion.values()) else None}
