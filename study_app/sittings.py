"""A sitting from its start to withdrawal: session, consent, instructions, trials, notes."""

import dataclasses
import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from evalkit.store import StudyFullError
from study_app.answers import NO_STORE, Body, Visit
from study_app.logins import forget_cookie
from study_app.state import current_state
from study_app.views import consent_version, settings_view

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Pixels = Annotated[int, Field(ge=1, le=100_000)]
Ratio = Annotated[float, Field(gt=0, le=100)]


class SessionStart(Body):
    """The window and the screen (CSS pixels) of a sitting; device pixels per CSS pixel."""

    viewport_width: Pixels
    viewport_height: Pixels
    screen_width: Pixels
    screen_height: Pixels
    pixel_ratio: Ratio


class Sitting(Body):
    """Which sitting asks."""

    session_id: Name


class Consent(Sitting):
    """Agreement to the consent text of this version."""

    version: Annotated[str, Field(max_length=64)]


class Withdrawal(Body):
    """Nothing more need be said."""


class Note(Sitting):
    """Something of the page's surroundings that the coordinator may want to know."""

    event: Literal["narrow", "wide", "image_failed"]
    viewport_width: Pixels
    viewport_height: Pixels
    pixel_ratio: Ratio


def start_session(visit: Visit, start: SessionStart) -> dict[str, Any]:
    """A new sitting, the settings of the page, and the state."""
    store, annotator_id = visit.served.store, visit.annotator.annotator_id
    session_id = secrets.token_urlsafe(16)
    store.start_session(session_id, annotator_id, visit.now, **start.model_dump())
    settings = settings_view(visit.study, annotator_id)
    return {
        "session_id": session_id,
        "settings": settings,
        **current_state(visit, session_id),
    }


def give_consent(visit: Visit, consent: Consent) -> dict[str, Any]:
    """The state after agreeing; another version than the present one is asked for anew."""
    store, annotator = visit.served.store, visit.annotator
    version = consent_version(visit.study)
    if consent.version == version:
        try:
            store.consent(annotator.annotator_id, visit.now, version)
        except StudyFullError:
            return {"stage": "full"}
        annotator = dataclasses.replace(annotator, consented_at=visit.now, consent_version=version)
    return current_state(dataclasses.replace(visit, annotator=annotator), consent.session_id)


def finish_instructions(visit: Visit, sitting: Sitting) -> dict[str, Any]:
    """The state after the instructions were read."""
    visit.served.store.instructed(visit.annotator.annotator_id, visit.now)
    annotator = dataclasses.replace(visit.annotator, instructed_at=visit.now)
    return current_state(dataclasses.replace(visit, annotator=annotator), sitting.session_id)


def give_trials(visit: Visit, sitting: Sitting) -> dict[str, Any]:
    """The state, with as many trials as an annotator holds at once."""
    return current_state(visit, sitting.session_id)


def withdraw(visit: Visit, _: Withdrawal) -> Response:
    """Deletes the annotator's votes and forgets the browser."""
    deleted = visit.served.store.withdraw(visit.annotator.annotator_id, visit.now)
    response = JSONResponse({"stage": "withdrawn", "deleted": deleted}, headers=NO_STORE)
    forget_cookie(response)
    return response


def take_note(visit: Visit, note: Note) -> dict[str, Any]:
    """Keeps the note in the study's log."""
    detail = json.dumps(note.model_dump(exclude={"event"}))
    annotator_id = visit.annotator.annotator_id
    visit.served.store.note(visit.now, "annotator", note.event, detail, annotator_id)
    return {}
