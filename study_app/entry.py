"""From a link to the page: who comes with a valid one gets a cookie and a clean address."""

import json
import re
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from evalkit.store import Annotator, StoreUnavailableError, StudyFullError
from evalkit.tables import PROLIFIC_IDS
from study_app.answers import NO_STORE, RETRY_SECONDS, RefusedError, utc_now
from study_app.logins import new_secret, secret_of, set_cookie
from study_app.pages import plain_page
from study_app.rates import Buckets
from study_app.served import Served, current

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACES = ("/", "/_stcore/stream")


class Entry:
    """Stands before Streamlit's page and its websocket: both are for those who are logged in.

    While the database is away everybody gets the page, which says so and tries again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI interface."""
        answer = None
        if scope["type"] != "lifespan" and scope["path"] in _PLACES:
            answer = await run_in_threadpool(_enter, current(), HTTPConnection(scope))
        await (answer or self.app)(scope, receive, send)


def _enter(served: Served, visitor: HTTPConnection) -> Response | None:
    """What to answer in place of the page; None lets the visitor pass to it."""
    known = None
    try:
        secret = secret_of(visitor)
        known = served.store.logged_in(secret) if secret else None
        if visitor.scope.get("method") == "GET" and visitor.query_params:
            annotator = _invited(served, visitor, known)
            if annotator is not None:
                return _let_in(served, visitor, known, annotator)
        if known is None:
            raise RefusedError(403, "unknown")
        if visitor.scope["type"] == "websocket":
            _require_slow(served.limits.pages, known.annotator_id)
        return None
    except RefusedError as refused:
        return plain_page(served.texts(), str(refused), refused.status, refused.retry_after)
    except StudyFullError:
        return plain_page(served.texts(), "full", 403)
    except StoreUnavailableError:
        if not visitor.query_params:
            return None
        return plain_page(served.last_texts, "waiting", 503, RETRY_SECONDS)


def _invited(served: Served, visitor: HTTPConnection, known: Annotator | None) -> Annotator | None:
    """Whom the address invites; None where it is no link of ours.

    Raises RefusedError, whose reason names the page to show, and StudyFullError.
    """
    query = visitor.query_params
    if "token" in query:
        annotator = served.store.annotator(query["token"])
        if annotator is None:
            raise RefusedError(403, "unknown")
        return annotator
    if any(name in query for name in PROLIFIC_IDS):
        return _of_prolific(served, visitor, known)
    if "open" in query:
        return _of_open_link(served, visitor, known)
    return None


def _of_prolific(served: Served, visitor: HTTPConnection, known: Annotator | None) -> Annotator:
    ids = [visitor.query_params.getlist(name) for name in PROLIFIC_IDS]
    if not all(len(values) == 1 and _ID.fullmatch(values[0]) for values in ids):
        raise RefusedError(400, "unknown")
    person, study_id, session_id = (values[0] for values in ids)
    entry = served.store.entry()
    if entry.kind != "prolific" or entry.study_id not in (None, study_id):
        raise RefusedError(403, "unknown")
    if known is None or known.external_id != person:
        _require_slow(served.limits.entries, _network_address(visitor))
    return served.store.admit("prolific", person, secrets.token_hex(8), utc_now(), session_id)


def _of_open_link(served: Served, visitor: HTTPConnection, known: Annotator | None) -> Annotator:
    store, code = served.store, visitor.query_params["open"]
    if store.entry().kind != "open" or not store.open_code_is(code):
        raise RefusedError(403, "unknown")
    if known is not None:  # one browser, one place
        return known
    _require_slow(served.limits.entries, _network_address(visitor))
    return store.admit("open", None, secrets.token_hex(8), utc_now())


def _let_in(
    served: Served, visitor: HTTPConnection, known: Annotator | None, annotator: Annotator
) -> Response:
    """To the page under a clean address; a browser that has the right cookie keeps it.

    Where somebody else was let in before, the log says so: two people may share a browser, or one
    may use two links.
    """
    response = RedirectResponse("/", status_code=303, headers=NO_STORE)
    if known is None or known.annotator_id != annotator.annotator_id:
        _require_slow(served.limits.entries, annotator.annotator_id)
        secret = new_secret()
        served.store.log_in(annotator.annotator_id, secret, utc_now())
        if known is not None:
            detail = json.dumps({"annotator_id": annotator.annotator_id})
            served.store.note(utc_now(), "annotator", "other_link", detail, known.annotator_id)
        set_cookie(response, secret, visitor)
    return response


def _require_slow(buckets: Buckets, name: str) -> None:
    """New places and logins are rows in the database, connections are memory: not too many."""
    wait = buckets.wait(name)
    if wait:
        raise RefusedError(429, "waiting", wait)


def _network_address(visitor: HTTPConnection) -> str:
    """Where the visitor comes from; of a trusted proxy, where it says they come from."""
    return visitor.client.host if visitor.client else ""
