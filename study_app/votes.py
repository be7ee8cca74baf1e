"""A vote: received, kept, acknowledged from what is kept; a correction is a vote more."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from evalkit.errors import StoreError
from evalkit.store import StoreUnavailableError, Trial, Vote
from evalkit.tables import CHOICES
from study_app.answers import RefusedError, Visit
from study_app.sittings import Name, Sitting
from study_app.state import current_state
from study_app.views import feedback_view

_DAY_MS = 86_400_000


class VoteBody(Sitting):
    """A vote as the page sends it, again and again until it is acknowledged."""

    trial_id: Name
    choice: Literal[CHOICES]
    response_ms: Annotated[int, Field(ge=0, le=_DAY_MS)]
    revision: Annotated[int, Field(ge=1, le=100)] = 1
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


def own_trial(visit: Visit, trial_id: str) -> Trial:
    """The annotator's trial of this id; refused where it is another's or nobody's."""
    trial = visit.served.store.trial(trial_id)
    if trial is None or trial.annotator_id != visit.annotator.annotator_id:
        raise RefusedError(403, "not your trial")
    return trial


def cast_vote(visit: Visit, body: VoteBody) -> dict[str, Any]:
    """The vote as it stands, what practice has to say about it, and the state.

    All of it is one transaction: writers take turns, and whoever answers waits for theirs.
    """
    with visit.served.store.together():
        try:
            return _answered(visit, body)
        except RefusedError as refused:  # nothing was written, and nothing went wrong
            answer = refused
    raise answer


def _answered(visit: Visit, body: VoteBody) -> dict[str, Any]:
    trial = own_trial(visit, body.trial_id)
    vote = visit.served.store.vote(trial.trial_id)
    if vote is None or vote.revision < body.revision:
        if body.revision == 1:
            _require_seen(visit, trial, body.response_ms)
        vote = _keep(visit, trial, body)
    answer: dict[str, Any] = {
        "vote": {"trial_id": vote.trial_id, "choice": vote.choice, "revision": vote.revision}
    }
    if trial.kind == "practice":
        expected = visit.served.store.expected_side(trial.trial_id)
        answer["feedback"] = feedback_view(vote, trial, expected)
    return {**answer, **current_state(visit, body.session_id)}


def _keep(visit: Visit, trial: Trial, body: VoteBody) -> Vote:
    journal = visit.served.journal
    journal.received(trial.trial_id, body.revision, visit.now)
    try:
        return visit.served.store.record_vote(
            trial.trial_id,
            visit.annotator.annotator_id,
            body.choice,
            body.response_ms,
            visit.now,
            revision=body.revision,
            reason=body.reason,
            session_id=body.session_id,
        )
    except StoreUnavailableError:
        raise  # the page sends it again
    except StoreError:
        journal.refused(trial.trial_id, body.revision, visit.now)
        raise


def _require_seen(visit: Visit, trial: Trial, response_ms: int) -> None:
    """Refuse a vote sooner than both images can have been looked at.

    Trials are issued ahead, so what counts is the time since the vote before this one.
    """
    before = visit.served.store.last_vote_at(visit.annotator.annotator_id)
    begun = datetime.fromisoformat(max(trial.issued_at, before or trial.issued_at))
    since_ms = (datetime.fromisoformat(visit.now) - begun).total_seconds() * 1000
    if min(response_ms, since_ms) < visit.study.design.min_viewing_ms:
        raise RefusedError(425, "both images must be seen first", retry_after=1)
