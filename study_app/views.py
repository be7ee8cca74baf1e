"""What reaches an annotator's page: texts, question, prompt where shown; never what is whose."""

import hashlib
from typing import Any

from evalkit.store import StoreUnavailableError, Trial
from study_app.served import Served


def page_view(served: Served, token: str) -> dict[str, Any]:
    """The data of the page for the holder of this token.

    `screen` is "session", "unknown" (no annotator has the token), or "waiting" (the database does
    not answer now).
    """
    try:
        annotator = served.store.annotator(token)
        if annotator is None:
            return {"screen": "unknown", "texts": served.texts}
        study = served.store.study()
    except StoreUnavailableError:
        return {"screen": "waiting", "texts": served.texts}
    return {
        "screen": "session",
        "texts": served.texts,
        "token": token,
        "outbox": hashlib.sha256(f"outbox {token}".encode()).hexdigest()[:16],
        "consented": annotator.consented_at is not None,
        "consent": study.session.consent,
        "instructions": study.session.instructions,
        "viewing_size": study.viewing_size,
        "min_viewing_ms": study.design.min_viewing_ms,
    }


def trial_view(served: Served, annotator_id: str, trial: Trial | None, now: str) -> dict[str, Any]:
    """The next trial (None at the end) and the progress, as the page may know them.

    The prompt is there only where the question shows it; the kind of trial never is.
    """
    done, total = served.store.progress(annotator_id, now)
    progress = {"done": done, "total": total}
    if trial is None:
        return {"trial": None, "progress": progress}
    study = served.store.study()
    question = study.question(trial.question_id)
    view = {
        "trial_id": trial.trial_id,
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "part": study.parts.index(question.id) + 1,
        "parts": len(study.parts),
    }
    if question.show_prompt:
        view["prompt"] = trial.prompt
    return {"trial": view, "progress": progress}
