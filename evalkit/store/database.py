"""The open vote database: whoever takes part, trials, votes, and what the coordinator sees."""

from collections.abc import Sequence

import pandas as pd

from evalkit.design import Progress, progress
from evalkit.errors import StoreError
from evalkit.store import annotators, control, frames, leases, places, trials, votes
from evalkit.store.annotators import Annotator, sha256
from evalkit.store.meta import read_values, write_meta
from evalkit.store.plan import (
    BlindedStudy,
    Standing,
    clear_plan,
    with_entry,
    write_plan,
)
from evalkit.store.refusals import StudyFullError
from evalkit.store.transactions import Transactions
from evalkit.store.trials import Example, Trial
from evalkit.store.votes import Vote
from evalkit.study import Study
from evalkit.study_sections import Entry

_OPEN_CODE = "open_code_sha256"


class Store(Transactions):
    """An open vote database; safe to share between threads, and between processes by its address.

    Each method is one transaction. Times (`now`) are UTC, ISO 8601, with milliseconds. Every method
    raises StoreUnavailableError where the database cannot answer now; StoreError on an annotator
    that is unknown.
    """

    # ---- the study

    def study(self) -> BlindedStudy:
        """The blinded study as it stands in the database."""
        with self._reading() as connection:
            known, standing = self._current(connection)
            return with_entry(known.plan, standing.entry).study

    def replace_plan(self, study: Study, pairs: pd.DataFrame) -> None:
        """Put another study and its blinded pairs (`tables.BLINDED_PAIRS`) in place of the old.

        Annotators stay invited and must consent anew; their sessions and open trials go. Raises
        StoreError once a vote exists.
        """
        with self._writing() as connection:
            if votes.has_votes(connection):
                raise StoreError(
                    f"{self._connections.name}: holds votes; the study they were given for "
                    "cannot change any more; undo the change, or make a new study"
                )
            clear_plan(connection)
            annotators.begin_anew(connection)
            write_plan(connection, study, pairs)

    def entry(self) -> Entry:
        """Who may begin besides those with a personal link."""
        with self._reading() as connection:
            return Standing.read(connection).entry

    def set_entry(self, entry: Entry) -> None:
        """Change who may begin; those who have begun go on."""
        with self._writing() as connection:
            write_meta(connection, "entry", entry.model_dump(mode="json"))

    def set_open_code(self, code: str) -> None:
        """Keep a hash of the open link's code, in place of any other."""
        with self._writing() as connection:
            write_meta(connection, _OPEN_CODE, sha256(code))

    def open_code_is(self, code: str) -> bool:
        """Whether this is the open link's code; False where there is none."""
        with self._reading() as connection:
            return read_values(connection, [_OPEN_CODE]).get(_OPEN_CODE) == sha256(code)

    # ---- annotators

    def add_annotator(
        self, annotator_id: str, token: str | None, now: str, simulated: bool = False
    ) -> None:
        """Invite an annotator; only a hash of the token is stored (None: no link leads to them).

        StoreError if either exists, and where one is simulated and others are people.
        """
        with self._writing() as connection:
            annotators.add_annotator(connection, annotator_id, now, token, simulated)

    def annotator(self, token: str) -> Annotator | None:
        """The annotator whom the token invites, or None."""
        with self._reading() as connection:
            return annotators.invited(connection, token)

    def admit(
        self, entry: str, external_id: str | None, annotator_id: str, now: str,
        external_session: str | None = None,
    ) -> Annotator:  # fmt: skip
        """The annotator who comes by `entry`, "prolific" or "open"; they have no place yet.

        That of the same external id where there is one, even if withdrawn or blocked, else a new
        one under `annotator_id`. Raises StudyFullError where no place is free: all are taken by
        annotators who have finished, or were heard of within the entry's `reclaim_minutes` (in
        which a pause does not count). StoreError where the study has another entry.
        """
        with self._writing() as connection:
            standing = Standing.read(connection)
            return places.admit(
                connection, standing, entry, external_id, annotator_id, now, external_session
            )

    def has_place(self, annotator_id: str, now: str) -> bool:
        """Whether the annotator has a place, or a personal link, or could have one now."""
        with self._reading() as connection:
            annotator = annotators.known(connection, annotator_id)
            try:
                annotators.require_unmixed(connection, annotator.simulated)
                places.require_place(connection, Standing.read(connection), annotator, now)
            except StudyFullError:
                return False
            return True

    def log_in(self, annotator_id: str, secret: str, now: str) -> None:
        """Let the secret (of a cookie) lead to the annotator; only a hash of it is stored."""
        with self._writing() as connection:
            annotators.log_in(connection, annotator_id, secret, now)

    def logged_in(self, secret: str) -> Annotator | None:
        """The annotator to whom the secret leads, or None."""
        with self._reading() as connection:
            return annotators.logged_in(connection, secret)

    def consent(self, annotator_id: str, now: str, version: str | None = None) -> None:
        """Record consent to the text of this version; the first time for each version counts.

        From here on the annotator has a place. StudyFullError where none is free, and to people
        where the votes are simulated.
        """
        with self._writing() as connection:
            standing = Standing.read(connection)
            places.consent(connection, standing, annotator_id, now, version)

    def instructed(self, annotator_id: str, now: str) -> None:
        """Record that the instructions were read; the first time counts."""
        with self._writing() as connection:
            annotators.record_first(connection, annotator_id, "instructed_at", now)

    def start_session(
        self,
        session_id: str,
        annotator_id: str,
        now: str,
        viewport_width: int | None = None,
        viewport_height: int | None = None,
        pixel_ratio: float | None = None,
        screen_width: int | None = None,
        screen_height: int | None = None,
    ) -> None:
        """Record the start of a sitting; sizes in CSS pixels, None where there is no window."""
        window = (viewport_width, viewport_height, screen_width, screen_height, pixel_ratio)
        with self._writing() as connection:
            annotators.start_session(connection, session_id, annotator_id, now, window)

    def withdraw(self, annotator_id: str, now: str) -> int:
        """Delete the annotator's votes, trials, logins, window sizes and external ids.

        A hash of the external id stays, by which `admit` knows them again.
        Gives the number of votes that stood (0 the second time), which the log says too.
        """
        with self._writing() as connection:
            return control.withdraw(connection, self._plan(connection), annotator_id, now)

    # ---- trials

    def lease_trials(
        self,
        annotator_id: str,
        session_id: str,
        trial_ids: Sequence[str],
        now: str,
        seed: int,
    ) -> list[Trial]:
        """The annotator's open trials in order, topped up under `trial_ids` to as many as these.

        Whoever asks at the same time, from another tab or after a restart gets the same ones. A
        trial keeps its pair from others for the design's `lease_minutes`, anew with each call.
        No trial of the next part is among them while one of this part is open. Whose lease was over
        gets it again, unless the pair has its votes by then: that trial is given back and never
        shown again. [] where there is none for them now; see `ending`.

        Raises StoreError before consent, after withdrawal, or on a session that is not the
        annotator's; AnnotatorBlockedError; StudyPausedError; StudyFullError where somebody else has
        the place of one who was away too long.
        """
        # Whatever vote comes of a lease takes it to the disk: it waits for none.
        with self._writing(durable=False) as connection:
            return leases.lease_trials(
                connection, *self._current(connection), annotator_id, session_id, trial_ids, now,
                seed,
            )  # fmt: skip

    def next_trial(
        self, annotator_id: str, session_id: str, trial_id: str, now: str, seed: int
    ) -> Trial | None:
        """The first of the annotator's open trials, or a new one; see `lease_trials`."""
        leased = self.lease_trials(annotator_id, session_id, [trial_id], now, seed)
        return leased[0] if leased else None

    def ending(self, annotator_id: str) -> str:
        """Why `lease_trials` gave the annotator no trial.

        "wait": pairs that they have not seen lack votes, and are all leased to others now. "done":
        nothing is left for them, and they are recorded as finished. "full": nothing is left either,
        but no vote of theirs counts; they hold no place.
        """
        with self._reading() as connection:
            if annotators.known(connection, annotator_id).finished_at is not None:
                return "done"
            stored, _ = self._current(connection)
            seen = stored.seen.read(connection, annotator_id)
            return leases.ending(stored.plan, stored.tallies.read(connection), seen)

    def trial(self, trial_id: str) -> Trial | None:
        """The trial of this id, or None."""
        with self._reading() as connection:
            row = trials.find_trial(connection, trial_id)
            return trials.trial_of(row._mapping, self._plan(connection)) if row else None

    def expected_side(self, trial_id: str) -> str | None:
        """The right side of a practice trial, "left" or "right"; None for any other trial."""
        with self._reading() as connection:
            row = trials.find_trial(connection, trial_id)
            if row is None or row.kind != "practice":
                return None
            is_left = self._plan(connection).pairs[row.pair_id].expected == row.left
            return "left" if is_left else "right"

    def example(self, question_id: str) -> Example | None:
        """The example that the instructions show for this question, or None."""
        with self._reading() as connection:
            return trials.example_of(question_id, self._plan(connection))

    def progress(self, annotator_id: str) -> Progress:
        """How far the annotator has come, as far as the plan can say now."""
        with self._reading() as connection:
            stored, _ = self._current(connection)
            seen = stored.seen.read(connection, annotator_id)
            tallies = stored.tallies.read(connection)
            return progress(stored.plan.trials, seen.showings, seen.voted, tallies)

    # ---- votes

    def record_vote(
        self,
        trial_id: str,
        annotator_id: str,
        choice: str,
        response_ms: int,
        now: str,
        revision: int = 1,
        reason: str = "",
        session_id: str | None = None,
    ) -> Vote:
        """The vote as stored: this one, committed before the return, or the one already there.

        The first vote of a revision wins, so that it may be sent again until it is acknowledged.
        Revision n + 1 corrects n, and only on the trial that the annotator answered last. Raises
        StoreError on an unknown trial, another annotator's trial, a choice that the question does
        not offer, or a negative time; AnnotatorBlockedError. What is pressed is never dropped: on
        a trial that was given back it counts too, one vote more than its pair needed.
        """
        vote = Vote(trial_id, choice, response_ms, now, revision, reason)
        with self._writing() as connection:
            plan = self._plan(connection)
            return votes.record_vote(connection, plan, vote, annotator_id, session_id)

    def vote(self, trial_id: str) -> Vote | None:
        """The vote on this trial as it stands now, or None."""
        with self._reading() as connection:
            return next(reversed(votes.votes_on(connection, trial_id)), None)

    def last_vote_at(self, annotator_id: str) -> str | None:
        """When the annotator last answered a trial (a correction is no new answer); None before."""
        with self._reading() as connection:
            return self._current(connection)[0].seen.read(connection, annotator_id).last_vote_at

    def has_simulated(self) -> bool:
        """Whether there are simulated annotators; nobody else may vote then."""
        with self._reading() as connection:
            return annotators.has_simulated(connection)

    def has_votes(self) -> bool:
        """Whether there is any vote."""
        with self._reading() as connection:
            return votes.has_votes(connection)

    # ---- the coordinator

    def block(self, annotator_id: str, reason: str, now: str) -> None:
        """Keep the annotator from trials and votes until they are unblocked."""
        with self._writing() as connection:
            control.block(connection, annotator_id, reason, now)

    def unblock(self, annotator_id: str, now: str) -> bool:
        """Let a blocked annotator go on; whether they were blocked."""
        with self._writing() as connection:
            return control.unblock(connection, annotator_id, now)

    def pause(self, reason: str, now: str) -> bool:
        """Give nobody a trial until `resume`; votes on trials given before are still taken.

        False where it was paused already, which stays as it is.
        """
        with self._writing() as connection:
            return control.pause(connection, reason, now)

    def resume(self, now: str) -> None:
        """End the pause."""
        with self._writing() as connection:
            control.resume(connection, now)

    def paused(self) -> dict[str, str] | None:
        """Since when ("at") and why ("reason") the study is paused; None where it goes on."""
        with self._reading() as connection:
            paused = Standing.read(connection).paused
            return dict(paused) if paused else None

    def note(
        self, now: str, actor: str, event: str, detail: str = "", annotator_id: str | None = None
    ) -> None:
        """Write into the log; `actor` is "annotator", "coordinator" or "app"."""
        with self._writing() as connection:
            control.note(connection, now, actor, event, detail, annotator_id)

    # ---- as tables

    def pairs(self) -> pd.DataFrame:
        """Pairs and checks (`tables.BLINDED_PAIRS`) in the order in which the database has them."""
        return self._frame(frames.pairs_frame)

    def trials(self) -> pd.DataFrame:
        """All trials (`tables.TRIALS`) in the order they were issued."""
        return self._frame(frames.trials_frame)

    def votes(self) -> pd.DataFrame:
        """The votes as they stand (`tables.VOTES`, with its optional columns), in order of time.

        The choice, its reason, revision and session are those of the last revision. The time is
        that of the first: `response_ms` and `created_at` say how long the annotator looked and when
        they answered, not how fast they corrected a slip.
        """
        return self._frame(frames.votes_frame)

    def vote_keys(self) -> pd.DataFrame:
        """Columns trial_id, revision, created_at, choice, simulated: a row per vote, correction."""
        return self._frame(frames.vote_keys_frame)

    def withdrawn_votes(self) -> int:
        """How many votes and corrections annotators had deleted, as the log says."""
        with self._reading() as connection:
            return control.withdrawn_votes(connection)

    def annotators(self) -> pd.DataFrame:
        """A row per annotator, in the order they were invited.

        Columns annotator_id, simulated, entry, external_id, external_session, the times
        invited_at, consented_at, finished_at, last_seen_at, withdrawn_at, blocked_at (empty
        before), blocked_reason; n_trials, n_votes without practice, n_practice (practice trials
        answered).
        """
        return self._frame(frames.annotators_frame)

    def pair_votes(self) -> pd.DataFrame:
        """Columns question_id, pair_id, matchup, wanted, voted, open: a row per question and pair.

        `open` may count leases that are over and that nobody asked about since.
        """
        wanted = self.study().design.votes_per_pair
        return self._frame(lambda connection: frames.pair_votes_frame(connection, wanted))

    def open_leases(self, now: str) -> pd.DataFrame:
        """Columns annotator_id, trial_id, issued_at, lease_until of leases that hold at `now`."""
        return self._frame(lambda connection: frames.open_leases_frame(connection, now))

    def checks(self) -> pd.DataFrame:
        """Columns pair_id, question_id, role, expected ("a" or "b"), foil of all checks."""
        return self._frame(frames.checks_frame)

    def sessions(self) -> pd.DataFrame:
        """Columns session_id, annotator_id, started_at and the sizes of window and screen."""
        return self._frame(frames.sessions_frame)

    def log(self) -> pd.DataFrame:
        """Columns number, at, actor, annotator_id (empty where it is nobody's), event, detail."""
        return self._frame(frames.log_frame)
