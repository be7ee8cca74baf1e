"""The app's own routes, all under /study/ and all behind the login cookie."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from study_app.answers import NO_STORE, Action, Body, answer
from study_app.images import example_image, trial_image
from study_app.rates import Buckets
from study_app.served import Limits
from study_app.sittings import (
    Consent,
    Note,
    SessionStart,
    Sitting,
    Withdrawal,
    finish_instructions,
    give_consent,
    give_trials,
    start_session,
    take_note,
    withdraw,
)
from study_app.votes import VoteBody, cast_vote


def routes() -> list[Route]:
    """The routes that stand beside Streamlit's own."""
    return [
        _post("session", start_session, SessionStart),
        _post("consent", give_consent, Consent),
        _post("instructed", finish_instructions, Sitting),
        _post("trials", give_trials, Sitting),
        _post("vote", cast_vote, VoteBody),
        _post("withdraw", withdraw, Withdrawal),
        _post("note", take_note, Note, lambda limits: limits.notes),
        _get("image/{trial_id}/{side}", trial_image),
        _get("example/{question_id}/{side}", example_image),
        Route("/study/{path:path}", _unknown),  # Streamlit would answer with its page
    ]


def _post(
    name: str,
    step: Callable,
    body_type: type[Body],
    bucket: Callable[[Limits], Buckets] = lambda limits: limits.votes,
) -> Route:
    return _route(name, "POST", Action(step, body_type, bucket))


def _get(name: str, step: Callable) -> Route:
    return _route(name, "GET", Action(step, None, lambda limits: limits.images))


def _route(name: str, method: str, action: Action) -> Route:
    async def endpoint(request: Request) -> Response:
        return await answer(request, action)

    return Route(f"/study/{name}", endpoint, methods=[method])


async def _unknown(_: Request) -> Response:
    return JSONResponse({"error": "no such address"}, status_code=404, headers=NO_STORE)
