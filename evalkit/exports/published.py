"""What of a study may leave it: its votes with names that point at nobody, its tables, its images.

Ids of Prolific, places in the database and votes that were withdrawn are not in it.
"""

from dataclasses import dataclass

import pandas as pd

from evalkit import tables
from evalkit.early_looks import PlannedVotes
from evalkit.errors import StudyError
from evalkit.lock import study_images
from evalkit.result_tables.judged import judged_votes
from evalkit.store import Store
from evalkit.study_folder import StudyFolder

_BESIDE = ["seed", "image_a", "image_b", "choice", "revision"]  # of each vote, behind the columns
_OF_PEOPLE = ["annotator_id", "session_id", "created_at"]  # from times one could find sittings
_TENTH = 100  # ms: as fine as times to answer are where nobody is to be found by them


@dataclass(frozen=True)
class Published:
    """The tables of an export, and what must be said of them.

    `votes` has a row per main vote and per repeat: `tables.IMPORTED_VOTES`, then seed, image_a,
    image_b, choice (the last one, in screen words), revision (1: never corrected) and, where asked
    for, reason. `images` are those that are ok.
    """

    folder: StudyFolder
    votes: pd.DataFrame
    prompts: pd.DataFrame
    images: pd.DataFrame
    pairs: pd.DataFrame
    planned: PlannedVotes
    withdrawn: int
    names_annotators: bool

    @property
    def simulated(self) -> bool:
        """Whether any of the votes is simulated."""
        return tables.is_simulated(self.votes)

    @property
    def stamps(self) -> list[str]:
        """What must be said before anything else; empty where there is nothing of that kind."""
        return [*([tables.SIMULATED] if self.simulated else []), *filter(None, [self.banner])]

    @property
    def banner(self) -> str:
        """What must be said of votes that were taken out before the planned end."""
        return self.planned.banner

    def counted(self) -> pd.DataFrame:
        """The main votes that no rule sets aside."""
        votes = self.votes
        return votes[(votes["kind"] == "main") & (votes["excluded_by"] == "")]


def published(
    folder: StudyFolder,
    store: Store,
    planned: PlannedVotes,
    *,
    drop_annotators: bool = False,
    with_reasons: bool = False,
) -> Published:
    """The votes as they stand, the study's rules applied; StudyError where there are none.

    Annotators are a1, a2, ..., sessions s1, ... in the order of their ids, since what is drawn with
    a seed depends on that order alone. With `drop_annotators` neither is there, nor when a vote was
    given; the rows then stand by question and pair, and response_ms, by which votes could be told
    apart and joined, is rounded to 100 ms.
    """
    comparisons = judged_votes(folder, store).comparisons
    if comparisons.empty:
        raise StudyError(
            f"{folder.root}: no votes on pairs of models yet, so there is nothing to export; "
            f"collect votes with: evalkit serve {folder.root}"
        )
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    votes = _with_details(comparisons, store, pairs, with_reasons)
    votes = _without_people(votes) if drop_annotators else _pseudonymous(votes)
    votes["trial_id"] = numbered("t", len(votes))
    columns = [*tables.IMPORTED_VOTES.names, *_BESIDE, "reason"]
    images = study_images(folder)
    return Published(
        folder=folder,
        votes=votes[[name for name in columns if name in votes.columns]],
        prompts=folder.read_prompts(),
        images=images[images["status"] == "ok"].reset_index(drop=True),
        pairs=pairs,
        planned=planned,
        withdrawn=store.withdrawn_votes(),
        names_annotators=not drop_annotators,
    )


def numbered(letter: str, n: int) -> list[str]:
    """`n` names: the letter and a number from 1, all as long, so that they sort by number."""
    width = max(2, len(str(n)))
    return [f"{letter}{number:0{width}d}" for number in range(1, n + 1)]


def pseudonyms(ids: pd.Series, letter: str) -> pd.Series:
    """A name in place of each id, the order of the ids kept."""
    known = sorted(ids.unique())
    return ids.map(dict(zip(known, numbered(letter, len(known)), strict=True)))


def _with_details(
    comparisons: pd.DataFrame, store: Store, pairs: pd.DataFrame, with_reasons: bool
) -> pd.DataFrame:
    """Each vote with what was pressed, the images that were shown and, if wanted, its reason."""
    given = store.votes()[["trial_id", "choice", "revision", "reason"]]
    given = given if with_reasons else given.drop(columns="reason")
    shown = pairs[["pair_id", "seed", "image_a", "image_b"]]
    joined = comparisons.merge(given, on="trial_id", how="left", validate="1:1")
    return joined.merge(shown, on="pair_id", how="left", validate="m:1")


def _pseudonymous(votes: pd.DataFrame) -> pd.DataFrame:
    return votes.assign(
        annotator_id=pseudonyms(votes["annotator_id"], "a"),
        session_id=pseudonyms(votes["session_id"], "s"),
    )


def _without_people(votes: pd.DataFrame) -> pd.DataFrame:
    """Without who voted and when, in an order that tells neither, with rounded times to answer."""
    rounded = (votes["response_ms"] / _TENTH).round().astype(int) * _TENTH
    votes = votes.assign(response_ms=rounded)
    order = ["question_id", "pair_id", "kind", "winner", "left_model", "response_ms"]
    return votes.drop(columns=_OF_PEOPLE).sort_values(order, kind="stable").reset_index(drop=True)
