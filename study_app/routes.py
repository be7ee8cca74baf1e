"""The app's own routes: begin a session, vote, fetch an image; each asks for the token."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evalkit.blinding import padded
from evalkit.errors import StoreError
from evalkit.store import Annotator, StoreUnavailableError, Trial
from evalkit.tables import CHOICES
from study_app.served import Served, current
from study_app.views import trial_view

_BODY_LIMIT = 4096  # bytes; a vote has about 120
_DAY_MS = 86_400_000
_NO_STORE = {"Cache-Control": "no-store"}

Pixels = Annotated[int, Field(ge=1, le=100_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SessionStart(_Body):
    """The window (CSS pixels) in which a session starts, and whether consent was just given."""

    consent: bool
    viewport_width: Pixels
    viewport_height: Pixels
    pixel_ratio: Annotated[float, Field(gt=0, le=100)]


class VoteBody(_Body):
    """A vote as the page sends it, again and again until it is acknowledged."""

    session_id: str
    trial_id: str
    choice: Literal[CHOICES]
    response_ms: Annotated[int, Field(ge=0, le=_DAY_MS)]


BodyType = TypeVar("BodyType", bound=_Body)


class _RefusedError(Exception):
    """An answer other than 200, with a short reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def routes() -> list[Route]:
    """The routes that stand beside Streamlit's own."""
    return [
        Route("/session", _session, methods=["POST"]),
        Route("/vote", _vote, methods=["POST"]),
        Route("/image/{trial_id}/{side}", _image, methods=["GET"]),
    ]


async def _session(request: Request) -> Response:
    return await _answer(request, _start_session, SessionStart)


async def _vote(request: Request) -> Response:
    return await _answer(request, _record_vote, VoteBody)


async def _image(request: Request) -> Response:
    return await _answer(request, _serve_image, None)


async def _answer(
    request: Request,
    step: Callable[[Served, Annotator, Any], dict[str, Any] | Response],
    body_type: type[BodyType] | None,
) -> Response:
    """The step's answer in a thread; mistakes as JSON with a status that the page understands."""
    served = current()
    try:
        annotator = await run_in_threadpool(_admitted, served, request)
        given = await _body(request, body_type) if body_type else request.path_params
        answer = await run_in_threadpool(step, served, annotator, given)
    except _RefusedError as refused:
        return _refusal(refused.status, str(refused))
    except (StoreUnavailableError, OSError):
        return _refusal(503, "the study cannot answer now; try again")
    except StoreError:
        return _refusal(409, "not possible now; start the session again")
    return answer if isinstance(answer, Response) else JSONResponse(answer, headers=_NO_STORE)


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status_code=status, headers=_NO_STORE)


def _admitted(served: Served, request: Request) -> Annotator:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    annotator = served.store.annotator(token) if scheme == "Bearer" and token else None
    if annotator is None:
        raise _RefusedError(403, "unknown token")
    return annotator


async def _body(request: Request, body_type: type[BodyType]) -> BodyType:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _BODY_LIMIT:
            raise _RefusedError(413, "too long")
    try:
        return body_type.model_validate_json(content)
    except ValidationError:
        raise _RefusedError(400, "not understood") from None


def _start_session(served: Served, annotator: Annotator, start: SessionStart) -> dict[str, Any]:
    store, now = served.store, _now()
    if annotator.consented_at is None:
        if not start.consent:
            raise _RefusedError(409, "consent is needed first")
        store.consent(annotator.annotator_id, now)
    session_id = secrets.token_urlsafe(16)
    window = start.model_dump(exclude={"consent"})
    store.start_session(session_id, annotator.annotator_id, now, **window)
    trial = _next_trial(served, annotator, session_id)
    return {"session_id": session_id, **trial_view(served, annotator.annotator_id, trial, now)}


def _record_vote(served: Served, annotator: Annotator, body: VoteBody) -> dict[str, Any]:
    store, now = served.store, _now()
    trial = _own_trial(served, annotator, body.trial_id)
    if store.vote(trial.trial_id) is None:
        shown = datetime.fromisoformat(now) - datetime.fromisoformat(trial.issued_at)
        if shown.total_seconds() * 1000 < store.study().design.min_viewing_ms:
            raise _RefusedError(425, "both images must be seen first")
    vote = store.record_vote(
        trial.trial_id, annotator.annotator_id, body.choice, body.response_ms, now
    )
    following = _next_trial(served, annotator, body.session_id)
    return {
        "vote": {"trial_id": vote.trial_id, "choice": vote.choice},
        **trial_view(served, annotator.annotator_id, following, now),
    }


def _serve_image(served: Served, annotator: Annotator, place: dict[str, str]) -> Response:
    trial = _own_trial(served, annotator, place["trial_id"])
    names = {"left": trial.left_file, "right": trial.right_file}
    if place["side"] not in names:
        raise _RefusedError(404, "a side is left or right")
    length = max((served.blinded / name).stat().st_size for name in names.values())
    content = padded((served.blinded / names[place["side"]]).read_bytes(), length)
    # Compressed on the way, the padding would shrink and the lengths differ again.
    headers = {**_NO_STORE, "Content-Encoding": "identity"}
    return Response(content, media_type="image/png", headers=headers)


def _own_trial(served: Served, annotator: Annotator, trial_id: str) -> Trial:
    trial = served.store.trial(trial_id)
    if trial is None or trial.annotator_id != annotator.annotator_id:
        raise _RefusedError(403, "not your trial")
    return trial


def _next_trial(served: Served, annotator: Annotator, session_id: str) -> Trial | None:
    return served.store.next_trial(
        annotator.annotator_id,
        session_id,
        trial_id=secrets.token_urlsafe(12),
        now=_now(),
        seed=secrets.randbits(63),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
