"""Checks of what the votes gave: the analysis follows from them, the report from the analysis."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.comparisons import winner
from evalkit.errors import EvalkitError
from evalkit.lock import has_contents, lock_hash, open_votes, read_lock
from evalkit.report_files import LABELLED, read_record, wrong_file
from evalkit.result_tables.estimates import headline_win_rates, is_table
from evalkit.result_tables.judged import judged_votes
from evalkit.result_tables.options import Options
from evalkit.store import Store
from evalkit.study_folder import StudyFolder
from evalkit.verification.check import NotYetError, WrongError
from evalkit.verification.locked import hash_of
from evalkit.verification.table_change import first_difference
from evalkit.verification.votes import require_database

_COMPARED = (
    "annotator_id", "question_id", "prompt_id", "model_a", "model_b", "winner", "left_model",
    "kind", "response_ms", "created_at",
)  # fmt: skip
_CHANGES_RULES = ("block", "unblock", "withdraw")  # events after which other votes may be set aside


def analysis(folder: StudyFolder) -> str:
    """The tables are those that were written; their comparisons those of the vote database."""
    if not (folder.analysis / "summary.json").is_file():
        raise NotYetError(f"none yet; run: evalkit analyze {folder.root}")
    try:
        return _analysis(folder, _json(folder.analysis / "summary.json"))
    except WrongError as error:
        raise WrongError(str(error), f"evalkit analyze {folder.root}") from None


def _analysis(folder: StudyFolder, summary: dict[str, Any]) -> str:
    _require_named(folder, summary.get("lock"), "analysis/summary.json")
    _require_written(folder, summary)
    require_database(folder)
    then = tables.read(folder.analysis / "comparisons.csv", tables.COMPARISONS)
    with closing(open_votes(folder)) as store:
        found = _compared(folder, store, then)
    written = tables.read(folder.analysis / "win_rates.csv", tables.WIN_RATES)
    again = headline_win_rates(then, _options(summary))
    change = first_difference(written, again, tables.WIN_RATES)
    if change:
        raise WrongError(f"analysis/win_rates.csv: {change} by analysis/comparisons.csv")
    return f"{found}; the win rates follow from them"


def _require_written(folder: StudyFolder, summary: dict[str, Any]) -> None:
    """WrongError where a table is not the one of which the summary has the hash."""
    written = summary.get("tables_sha256")
    written = written if isinstance(written, dict) else {}
    here = {path.name for path in folder.analysis.glob("*.csv") if is_table(path.stem)}
    for name in sorted({*here, "comparisons.csv", "win_rates.csv"} - written.keys()):
        raise WrongError(f"analysis/summary.json has no SHA-256 of {name}")
    for name, sha256 in written.items():
        if hash_of(folder.analysis / name) != sha256:
            raise WrongError(f"analysis/{name} is not the table that the analysis wrote")


def _options(summary: dict[str, Any]) -> Options:
    try:
        return Options(**summary["options"])
    except (KeyError, TypeError, EvalkitError):
        raise WrongError(
            "analysis/summary.json does not say by which options it was made"
        ) from None


def _compared(folder: StudyFolder, store: Store, then: pd.DataFrame) -> str:
    """How the analysed comparisons and those of the database fit together."""
    now, given, log = judged_votes(folder, store).comparisons, store.vote_keys(), store.log()
    last = then["created_at"].max()
    both = then.merge(now, on="trial_id", suffixes=("", "_now"))
    corrected = _is_corrected(both, given, last)
    for name in _COMPARED:
        _require_same(both[~corrected] if name == "winner" else both, name)
    gone = sorted(set(then["trial_id"]) - set(now["trial_id"]))
    if len(gone) > store.withdrawn_votes():
        raise WrongError(
            f"the vote on trial {gone[0]} was analysed, and is not in the vote database"
        )
    new = now[~now["trial_id"].isin(then["trial_id"])]
    unseen = new[new["created_at"] < last]
    if len(unseen):
        raise WrongError(f"the vote on trial {unseen['trial_id'].iloc[0]} is not in the analysis")
    since = [given["created_at"], log.loc[log["event"].isin(_CHANGES_RULES), "at"]]
    if not (pd.concat(since) > last).any():  # else the rules may set others aside by now
        _require_same(both, "excluded_by")
    later = f"; {len(new):,} votes came after it" if len(new) else ""
    later += f"; {corrected.sum():,} were corrected after it" if corrected.any() else ""
    return f"{len(both):,} comparisons are those of the vote database{later}"


def _require_same(both: pd.DataFrame, name: str) -> None:
    wrong = both[both[name].astype(str) != both[f"{name}_now"].astype(str)]
    if len(wrong):
        row = wrong.iloc[0]
        raise WrongError(
            f'trial {row["trial_id"]}: {name} is "{row[name]}" in analysis/comparisons.csv, and '
            f'"{row[f"{name}_now"]}" by the vote database'
        )


def _is_corrected(both: pd.DataFrame, given: pd.DataFrame, last: str) -> pd.Series:
    """Whether the analysis has a choice that stood at the time `last`, or later, and is corrected.

    Columns of `given` as of `Store.vote_keys`. An analysis has no time; `last` is that of its last
    first answer.
    """
    until = given.sort_values("revision").assign(
        until=lambda votes: votes.groupby("trial_id")["created_at"].shift(-1)
    )
    rows = until[until["until"] > last].merge(both[["trial_id", "left_model", "model_a"]])
    stood = set(
        zip(
            rows["trial_id"],
            winner(rows["choice"], rows["left_model"] == rows["model_a"]),
            strict=True,
        )
    )
    had = zip(both["trial_id"], both["winner"], strict=True)
    is_former = pd.Series([pair in stood for pair in had], both.index, dtype=bool)
    return is_former & (both["winner"] != both["winner_now"])


def report(folder: StudyFolder) -> str:
    """Every file is the one that was written; its tables are those of the analysis."""
    if not (folder.report / "index.html").is_file():
        raise NotYetError(f"none yet; run: evalkit report {folder.root}")
    try:
        return _report(folder)
    except EvalkitError as error:
        raise WrongError(str(error), f"evalkit report {folder.root}") from None


def _report(folder: StudyFolder) -> str:
    record = read_record(folder)
    _require_named(folder, record["lock"], "report/files.json")
    wrong = wrong_file(folder, record["files"])
    if wrong:
        raise WrongError(wrong)
    if lock_hash(folder) not in (folder.report / "index.html").read_text("utf-8"):
        raise WrongError("report/index.html does not name the lock")
    shown = _shown_tables(folder)
    for file in shown:
        sources = [place / file.name for place in (folder.analysis, folder.scores)]
        source = next((path for path in sources if path.is_file()), None)
        if source is None or source.read_bytes() != file.read_bytes():
            raise WrongError(f"report/tables/{file.name} is not the table of the analysis")
    return (
        f"names the lock; {len(record['files']):,} files are as they were written, "
        f"{len(shown)} tables are those of the analysis"
    )


def _shown_tables(folder: StudyFolder) -> list[Path]:
    place = folder.report / "tables"
    found = [*sorted(place.glob("*.csv")), place / "summary.json"]
    # The report has annotators under labels in some, so that these are none of the analysis.
    return [file for file in found if file.stem not in LABELLED]


def _require_named(folder: StudyFolder, named: str | None, where: str) -> None:
    """WrongError where something lies there that was made under another lock.

    What is older than the contents of locks names none.
    """
    lock = read_lock(folder) if folder.lock_file.is_file() else None
    if lock is None or (named is None and not has_contents(lock)) or named == lock_hash(folder):
        return
    said = f"names the lock {named}" if named else "does not name the lock"
    raise WrongError(f"{where} {said}, which is {lock_hash(folder)}; it was made for another state")


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        raise WrongError(f"{path} is not readable as JSON") from None
