"""How a study stands while it runs: votes, annotators, leases. Never anything per model.

What arrived is told from the journals that the server's processes write before each vote is
committed; what was kept, from the database. The two are compared vote by vote.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.analysis.annotators import COUNTS, annotator_table, fast_floor, flags
from evalkit.errors import StoreError, nearest
from evalkit.store import Store
from evalkit.tables import SIMULATED

STAGES = ("invited", "consented", "at work", "finished", "withdrawn", "blocked")
AT_WORK = timedelta(minutes=5)  # last heard of within
PACE = timedelta(hours=1)  # over which votes are counted for the expected end
ON_THE_WAY = timedelta(minutes=1)  # a vote that arrived may wait so long for a busy database

VoteKey = tuple[str, int]  # trial_id, revision


@dataclass(frozen=True)
class Reception:
    """Votes (with practice, checks, repeats and each correction) as they arrived and were kept.

    `received` lines of the journals name different votes; `withdrawn` were deleted on their
    annotator's wish; `on_the_way` arrived within the last minute and are not stored yet;
    `simulated` are kept and came through no server; `before_journals` were given to an evalkit that
    wrote none, before the database was upgraded. `lost` arrived and are neither kept nor withdrawn;
    `unreceived` are or were kept and never arrived. received - withdrawn - on_the_way - lost
    + unreceived + simulated + before_journals = kept.
    """

    received: int
    kept: int
    withdrawn: int
    on_the_way: int
    simulated: int
    before_journals: int
    lost: int
    unreceived: int

    @property
    def alarm(self) -> str | None:
        """What is wrong and what to do, or None where every vote is accounted for."""
        sentences = []
        if self.lost:
            sentences.append(
                f"Fewer votes are kept than were received: {self.lost:,} that arrived are not in "
                "the database; rows were deleted, an older copy was put back, or the server was "
                "killed just then and nobody came back to send them again; pause the study, set "
                "the database aside as it is, and compare it with the newest backup."
            )
        if self.unreceived:
            sentences.append(
                f"More votes are kept than were received: {self.unreceived:,} in the database "
                "never arrived at the server; put back the journals that are missing from the "
                "folder received/, or find out what else writes into the database."
            )
        return " ".join(sentences) or None


@dataclass(frozen=True)
class QuestionProgress:
    """Main votes of one question: planned over its pairs, given of those, pairs that have all."""

    question_id: str
    pairs: int
    complete_pairs: int
    planned: int
    given: int


@dataclass(frozen=True)
class Overview:
    """A study at one moment.

    `planned` main votes are wanted over all pairs and questions, `given` of those are there (a vote
    too many on one pair stands in for none elsewhere). `per_hour` is the pace of the last hour,
    or since the first vote where that is later; `expected_end` follows from it, None where nobody
    voted then. `annotators` counts by `STAGES`.
    """

    at: str
    paused: dict[str, str] | None
    planned: int
    given: int
    per_hour: float
    expected_end: str | None
    questions: tuple[QuestionProgress, ...]
    reception: Reception
    annotators: dict[str, int]
    open_leases: int

    @property
    def is_complete(self) -> bool:
        """Whether every pair has the votes planned for it, so that the study may be analysed."""
        return self.given == self.planned

    @property
    def vote_source(self) -> str:
        """SIMULATED VOTES where any are, else empty."""
        return SIMULATED if self.reception.simulated else ""

    def as_json(self) -> dict[str, Any]:
        """All fields under their names, and is_complete, vote_source and reception.alarm."""
        content = asdict(self) | {"is_complete": self.is_complete, "vote_source": self.vote_source}
        content["questions"] = list(content["questions"])
        content["reception"]["alarm"] = self.reception.alarm
        return content


def overview(store: Store, received: Path, now: str) -> Overview:
    """The study at `now`; `received` is the folder of the journals, which may be absent."""
    stages = annotator_stages(store.annotators(), now)
    questions = question_progress(store)
    planned, given = sum(q.planned for q in questions), sum(q.given for q in questions)
    per_hour = _pace(store, now)
    return Overview(
        at=now,
        paused=store.paused(),
        planned=planned,
        given=given,
        per_hour=per_hour,
        expected_end=_expected_end(planned - given, per_hour, now),
        questions=questions,
        reception=reception(store, received, now),
        annotators={stage: int((stages == stage).sum()) for stage in STAGES},
        open_leases=len(store.open_leases(now)),
    )


def reception(store: Store, received: Path, now: str) -> Reception:
    """Votes received against votes kept, at `now`."""
    withdrawn, stored = _stored(store)
    arrived = read_journals(received)  # after the votes: each is in a journal before it is stored
    journals_since = _journals_since(store.log())
    kept = set(_vote_keys(stored))
    late = {key: at for key, at in arrived.items() if key not in kept}
    recent = sum(_is_recent(at, now) for at in late.values())
    is_unseen = [key not in arrived for key in _vote_keys(stored)]
    unseen = stored[pd.Series(is_unseen, stored.index, dtype=bool)]
    real = unseen[~unseen["simulated"]]
    older = int((real["created_at"] < journals_since).sum())
    # Votes of before the journals may be among the withdrawn.
    never_seen = 0 if journals_since else max(0, withdrawn - len(late))
    return Reception(
        received=len(arrived),
        kept=len(kept),
        withdrawn=withdrawn,
        on_the_way=len(_on_the_way(late, withdrawn, now)),
        simulated=int(unseen["simulated"].sum()),
        before_journals=older,
        lost=max(0, len(late) - recent - withdrawn),
        unreceived=len(real) - older + never_seen,
    )


def on_the_way(store: Store, received: Path, now: str) -> set[VoteKey]:
    """The votes that arrived within the minute before `now`, or later, and are not kept yet."""
    withdrawn, stored = _stored(store)
    kept, arrived = set(_vote_keys(stored)), read_journals(received)
    late = {key: at for key, at in arrived.items() if key not in kept}
    return _on_the_way(late, withdrawn, now)


def _on_the_way(late: dict[VoteKey, str], withdrawn: int, now: str) -> set[VoteKey]:
    """Of the votes that arrived and are not kept, those that may still come.

    Withdrawn votes are gone from the database: they are taken for the oldest ones that lack.
    """
    lacking = sorted(late, key=lambda key: (late[key], key))[withdrawn:]
    return {key for key in lacking if _is_recent(late[key], now)}


def _is_recent(at: str, now: str) -> bool:
    return datetime.fromisoformat(at) > datetime.fromisoformat(now) - ON_THE_WAY


def read_journals(received: Path) -> dict[VoteKey, str]:
    """When each vote last arrived, by trial_id and revision, from the `*.jsonl` in the folder.

    A vote that was refused then (its trial was given back, its annotator blocked) is left out, and
    so is a line that was cut short when its process was killed or the disk was full: its vote was
    not committed, and is sent again.
    """
    lines: list[tuple[str, bool, VoteKey]] = []
    for file in received.glob("*.jsonl"):
        for line in file.read_text("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                key = (row["trial_id"], row["revision"])
                lines.append((row["at"], row.get("refused", False), key))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    last = {key: (at, refused) for at, refused, key in sorted(lines)}
    return {key: at for key, (at, refused) in last.items() if not refused}


def annotator_stages(annotators: pd.DataFrame, now: str) -> pd.Series:
    """Where each annotator (a row of `Store.annotators`) stands at `now`: one of `STAGES`.

    The later stage counts: withdrawn, blocked, finished, at work (heard of in the last 5 minutes),
    consented (and away), invited.
    """
    since = (datetime.fromisoformat(now) - AT_WORK).isoformat(timespec="milliseconds")
    held = {
        "consented": annotators["consented_at"].notna(),
        "at work": annotators["consented_at"].notna()
        & (annotators["last_seen_at"].fillna("") > since),
        "finished": annotators["finished_at"].notna(),
        "blocked": annotators["blocked_at"].notna(),
        "withdrawn": annotators["withdrawn_at"].notna(),
    }
    stages = pd.Series("invited", annotators.index, dtype=object)
    for stage, holds in held.items():
        stages = stages.mask(holds, stage)
    return stages


def annotator_rows(store: Store, now: str) -> pd.DataFrame:
    """One row per annotator, in the order of their invitation.

    Columns annotator_id, stage, external_id, external_session, simulated, last_seen_at,
    blocked_reason, those of `analysis.annotators.COLUMNS`, and flags. Counts of who has not voted
    are 0, their shares NaN.
    """
    floor = fast_floor(store.study().design.min_viewing_ms)
    table = annotator_table(store.votes(), store.trials(), store.checks(), floor)
    table = table.assign(flags=flags(table))
    everybody = store.annotators()
    who = everybody[["annotator_id"]].assign(stage=annotator_stages(everybody, now))
    told = ["external_id", "external_session", "simulated", "last_seen_at", "blocked_reason"]
    rows = who.join(everybody[told]).merge(table, on="annotator_id", how="left")
    return rows.fillna(dict.fromkeys(COUNTS, 0) | {"flags": ""}).astype(dict.fromkeys(COUNTS, int))


def vote_rows(store: Store) -> pd.DataFrame:
    """The votes as they stand with their trials, in screen words, in the order they were given.

    Columns of `tables.VOTES` (see `Store.votes`) and `tables.TRIALS`; `session_id` is where the
    trial was issued, `voted_session_id` where it was answered.
    """
    return store.votes().merge(store.trials(), on="trial_id", validate="1:1")


def require_annotator(store: Store, annotator_id: str) -> None:
    """StoreError, with the nearest spelling, where there is no annotator of this id."""
    known: Collection[str] = list(store.annotators()["annotator_id"])
    if annotator_id not in known:
        raise StoreError(
            f'annotator "{annotator_id}": unknown{nearest(annotator_id, known)}; the study has '
            f"{len(known):,}; the dashboard and its export list them"
        )


def question_progress(store: Store) -> tuple[QuestionProgress, ...]:
    """Progress of each question, in the order annotators come to them."""
    pairs = store.pair_votes()
    pairs = pairs.assign(given=pairs["voted"].clip(upper=pairs["wanted"]))
    return tuple(
        QuestionProgress(
            question_id=question_id,
            pairs=len(asked),
            complete_pairs=int((asked["voted"] >= asked["wanted"]).sum()),
            planned=int(asked["wanted"].sum()),
            given=int(asked["given"].sum()),
        )
        for question_id in store.study().parts
        if len(asked := pairs[pairs["question_id"] == question_id])
    )


def _pace(store: Store, now: str) -> float:
    """Main votes per hour over the last hour, or since the first vote where that is later."""
    trials = store.trials()
    votes = store.votes().merge(trials.loc[trials["kind"] == "main", ["trial_id"]], on="trial_id")
    if votes.empty:
        return 0.0
    end = datetime.fromisoformat(now)
    first = datetime.fromisoformat(votes["created_at"].min())
    window = max(timedelta(minutes=1), min(PACE, end - first))
    since = (end - window).isoformat(timespec="milliseconds")
    return float((votes["created_at"] >= since).sum() / (window / timedelta(hours=1)))


def _expected_end(missing: int, per_hour: float, now: str) -> str | None:
    if missing == 0 or per_hour == 0:
        return None
    end = datetime.fromisoformat(now) + timedelta(hours=missing / per_hour)
    return end.isoformat(timespec="minutes")


def _stored(store: Store) -> tuple[int, pd.DataFrame]:
    """How many votes were withdrawn, and those that are there, as of one moment."""
    while True:
        withdrawn, stored = store.withdrawn_votes(), store.vote_keys()
        if store.withdrawn_votes() == withdrawn:  # else somebody withdrew in between
            return withdrawn, stored


def _journals_since(log: pd.DataFrame) -> str:
    """When the database left schema 1, whose servers wrote no journals; "" where it had none."""
    upgrades = log[(log["event"] == "upgrade") & log["detail"].str.startswith("1 to ")]
    return "" if upgrades.empty else str(upgrades["at"].iloc[0])


def _vote_keys(stored: pd.DataFrame) -> list[VoteKey]:
    return list(zip(stored["trial_id"], stored["revision"], strict=True))
