"""How a route answers: who asks, how often, is the body as it must be; mistakes as JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from evalkit.errors import StoreError
from evalkit.store import Annotator, BlindedStudy, StoreUnavailableError
from study_app.guard import ForbiddenFileError
from study_app.logins import secret_of
from study_app.rates import Buckets
from study_app.served import Limits, Served, current

BODY_LIMIT = 8192  # bytes; a vote with the longest reason has about 2,300
NO_STORE = {"Cache-Control": "no-store"}
RETRY_SECONDS = 2  # while the database is away


class Body(BaseModel):
    """What a page posts: nothing that is not named, no type but the named one."""

    model_config = ConfigDict(extra="forbid", strict=True)


BodyType = TypeVar("BodyType", bound=Body)


class RefusedError(Exception):
    """An answer other than 200: its status, a short reason, and when to try again (s)."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Visit:
    """One request of an annotator; `now` is UTC, ISO 8601, milliseconds."""

    served: Served
    annotator: Annotator
    now: str

    @cached_property
    def study(self) -> BlindedStudy:
        """The study, read once for the request."""
        return self.served.store.study()


@dataclass(frozen=True)
class Action:
    """What a route does for an annotator, the body it takes (None: its path says it all), and
    the limit it counts against."""

    step: Callable[[Visit, Any], dict[str, Any] | Response]
    body_type: type[Body] | None
    bucket: Callable[[Limits], Buckets]


def utc_now() -> str:
    """The time: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


async def answer(request: Request, action: Action) -> Response:
    """The action's answer, made in a thread; 403, 400, 413, 429 or 503 before it is reached."""
    try:
        if action.body_type is None:
            return await run_in_threadpool(_act, request, action, b"")
        _require_own_page(request)
        return await run_in_threadpool(_act, request, action, await _content(request))
    except RefusedError as refused:
        return _refusal(refused)
    except ForbiddenFileError:  # a fault of ours, no disk that is away
        raise
    except (StoreUnavailableError, OSError) as error:
        current().complain(str(error))
        return _refusal(RefusedError(503, "the study cannot answer now", RETRY_SECONDS))
    except StoreError:
        return _refusal(RefusedError(409, "not possible now; ask for trials anew"))


def _act(request: Request, action: Action, content: bytes) -> Response:
    served = current()
    secret = secret_of(request)
    annotator = served.store.logged_in(secret) if secret else None
    if annotator is None:
        raise RefusedError(403, "unknown here; open your link again")
    wait = action.bucket(served.limits).wait(annotator.annotator_id)
    if wait:
        raise RefusedError(429, "too fast", wait)
    given = _parsed(content, action.body_type) if action.body_type else request.path_params
    result = action.step(Visit(served, annotator, utc_now()), given)
    return result if isinstance(result, Response) else JSONResponse(result, headers=NO_STORE)


def _require_own_page(request: Request) -> None:
    """Only our own page can send this header and type; browsers say where a request comes from."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise RefusedError(403, "sent by another site")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RefusedError(403, "sent by another site")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("x-evalkit") != "1" or kind != "application/json":
        raise RefusedError(403, "not sent by the study's page")


async def _content(request: Request) -> bytes:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > BODY_LIMIT:
            raise RefusedError(413, "too long")
    return content


def _parsed(content: bytes, body_type: type[BodyType]) -> BodyType:
    try:
        return body_type.model_validate_json(content)
    except ValidationError:
        raise RefusedError(400, "not understood") from None


def _refusal(refused: RefusedError) -> JSONResponse:
    wait = refused.retry_after
    headers = NO_STORE if wait is None else {**NO_STORE, "Retry-After": str(wait)}
    return JSONResponse({"error": str(refused)}, status_code=refused.status, headers=headers)
