"""A scripted session: link, consent, instructions, practice, trials of every part, withdrawal."""

import re
from dataclasses import dataclass, field
from typing import Any

from evalkit.errors import StudyError
from evalkit.leaks.page_socket import open_page
from evalkit.leaks.visitor import Exchange, Visitor

_WINDOW = {
    "viewport_width": 1920,
    "viewport_height": 1080,
    "screen_width": 1920,
    "screen_height": 1080,
    "pixel_ratio": 1.0,
}
_ASSET = re.compile(rb'(?:src|href)="\.?(/[^"]+)"')
_SIDES = ("left", "right")
_MOST_STEPS = 1000  # a session that is never done would be a fault of the app
_CORRECTED = 3  # the vote that is taken back once


@dataclass
class Recording:
    """All that reached the browser, in order; and of each trial or example its two images."""

    exchanges: list[Exchange]
    images: dict[str, dict[str, Exchange]] = field(default_factory=dict)
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)


def record_session(port: int, token: str) -> Recording:
    """Sit through a whole session on the app at this port of loopback, as the page would.

    Raises StudyError where the app does not answer as it should.
    """
    visitor = Visitor(port)
    recording = Recording(visitor.exchanges)
    try:
        visitor.get(f"/?token={token}")
        page = visitor.get("/")
        for asset in sorted({path.decode() for path in _ASSET.findall(page.body)}):
            visitor.get(asset)
        with open_page(visitor):
            _sit(visitor, recording)
        Visitor(port, visitor.exchanges).get("/?token=of-nobody")
    finally:
        visitor.close()
    return recording


def _sit(visitor: Visitor, recording: Recording) -> None:
    state = visitor.post("/study/session", _WINDOW)
    session = {"session_id": state["session_id"]}
    for _ in range(_MOST_STEPS):
        match state["stage"]:
            case "consent":
                version = state["consent"]["version"]
                state = visitor.post("/study/consent", {**session, "version": version})
            case "instructions":
                for example in state["instructions"]["examples"]:
                    _see(visitor, recording, f"/study/example/{example['question_id']}")
                state = visitor.post("/study/instructed", session)
            case "vote":
                state = _vote(visitor, recording, state, session)
            case "done":
                visitor.post("/study/withdraw", {})
                return
            case stage:
                raise StudyError(
                    f'the scripted session of the leak check came to the stage "{stage}"; '
                    "this is a fault of the app: report it"
                )
    raise StudyError("the scripted session of the leak check is never done; report it")


def _vote(
    visitor: Visitor, recording: Recording, state: dict[str, Any], session: dict[str, str]
) -> dict[str, Any]:
    for trial in state["trials"]:
        if trial["trial_id"] not in recording.trials:
            recording.trials[trial["trial_id"]] = trial
            _see(visitor, recording, f"/study/image/{trial['trial_id']}")
    trial = state["trials"][0]
    choices = trial["choices"]
    body = {
        **session,
        "trial_id": trial["trial_id"],
        "choice": choices[len(recording.trials) % len(choices)],
        "response_ms": 60_000,
        "revision": 1,
        "reason": "",
    }
    state = visitor.post("/study/vote", body)
    if len(recording.trials) == _CORRECTED and not trial.get("practice", False):
        state = visitor.post("/study/vote", {**body, "choice": choices[0], "revision": 2})
    return state


def _see(visitor: Visitor, recording: Recording, path: str) -> None:
    """Both images, and once more, as after a reload of the page."""
    recording.images[path] = {side: visitor.image(f"{path}/{side}") for side in _SIDES}
    for side in _SIDES:
        visitor.image(f"{path}/{side}")
