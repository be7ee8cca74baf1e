"""A file of votes -> result tables in a folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis.annotators import annotator_table_of, flags
from evalkit.analysis.counting import main_only
from evalkit.errors import EvalkitError, StudyError
from evalkit.progress import Progress, no_progress
from evalkit.result_tables.estimates import estimates, labelled
from evalkit.result_tables.large import NOT_COMPUTED, large_estimates
from evalkit.result_tables.options import Options
from evalkit.result_tables.writing import Analysis, require_folder, write_analysis
from evalkit.vote_files import VoteFile, read_vote_file
from evalkit.vote_files.out_of_core import LargeVotes, is_large, read_large

_NAMES = {"annotator_id": "annotators", "prompt_id": "prompts"}
_CLUSTERED = ("win_rates", "sides", "ratings", "tie_rules")  # tables whose intervals are clustered


def analyze_file(
    path: Path,
    out: Path,
    options: Options | None = None,
    *,
    format: str | None = None,
    out_of_core: bool = False,
    progress: Progress = no_progress,
) -> Analysis:
    """Write every result table of the votes in a file, and summary.json, into the folder `out`.

    The file is CSV, TSV, JSONL or Parquet, in one of the formats of `read_vote_file`. A Parquet
    file of more than `out_of_core.ROWS_IN_MEMORY` votes, and any with `out_of_core`, is counted on
    the disk: tables that need single votes are not made then, and the summary says so; `progress`
    is told how far that is. TableError,
    with line or row and column, on a bad cell; StudyError on a file without votes that count.
    Nothing is written then.
    """
    options = options or Options()
    require_folder(out)
    is_own = format in (None, "evalkit")
    if out_of_core and not is_own:
        raise EvalkitError(
            f"--format {format}: out of core only the format evalkit is read; write {path} in its "
            "columns, or leave --out-of-core out"
        )
    if out_of_core or (is_own and is_large(path)):
        analysis = _of_large(path, options, progress)
    else:
        analysis = _in_memory(path, options, format)
    write_analysis(analysis, out)
    return analysis


def _in_memory(path: Path, options: Options, format: str | None) -> Analysis:
    slices = [options.by] if options.by else []
    file = read_vote_file(path, format, also=slices)
    votes = file.comparisons
    _require_votes(path, len(main_only(votes)))
    missing = _of_known_ids(file.unknown)
    beside = {"exclusions": _exclusions(votes)}
    if "annotators" not in missing:
        beside["annotators"] = _annotators(votes)
    results = estimates(votes, options, slices, skipped=missing)
    results |= labelled(beside, tables.is_simulated(votes))
    told = {**_summary(path, format, options, file), "not_computed": missing}
    return Analysis(_unclustered(results, file.unknown), told)


def _of_large(path: Path, options: Options, progress: Progress) -> Analysis:
    if options.by is not None or options.interval == "bootstrap":
        name = f"--by {options.by}" if options.by else "--interval bootstrap"
        raise EvalkitError(
            f"{name}: needs single votes, and those of {path} are counted out of core; leave it out"
        )
    votes = read_large(path, progress)
    n = sum(int(sums.counts.sum()) for sums in votes.pairs.values())
    _require_votes(path, n)
    results = labelled(large_estimates(votes, options), votes.simulated)
    return Analysis(results, _large_summary(path, options, votes, n))


def _require_votes(path: Path, n: int) -> None:
    if not n:
        raise StudyError(f"{path}: no votes in it that count; give a table with one row per vote")


def _rules(votes: pd.DataFrame) -> pd.Series:
    """The rules that set each vote aside, as the file says; empty where it counts."""
    return votes.get("excluded_by", pd.Series("", votes.index, dtype=object))


def _annotators(votes: pd.DataFrame) -> pd.DataFrame:
    """Every annotator, and the rules that set them aside, as the file says."""
    table = annotator_table_of(votes)
    aside = _rules(votes).groupby(votes["annotator_id"]).first()
    return table.assign(flags=flags(table), excluded_by=table["annotator_id"].map(aside))


def _of_known_ids(unknown: tuple[str, ...]) -> dict[str, str]:
    """The tables that say nothing where each vote stands for one of its own, with the reason."""
    names = " or ".join(_NAMES[name] for name in unknown)
    reason = f"not computed: the file names no {names}"
    tables_of = {"stability": bool(unknown), "annotators": "annotator_id" in unknown}
    return {name: reason for name, needs in tables_of.items() if needs}


def _exclusions(votes: pd.DataFrame) -> pd.DataFrame:
    """How many annotators and main votes each rule set aside, as the file says; then the totals."""
    main = main_only(votes.assign(excluded_by=""))
    rules = _rules(votes).loc[main.index]
    masks = {
        rule: rules.str.split(", ").map(lambda held, rule=rule: rule in held)
        for rule in sorted({rule for held in rules.unique() for rule in held.split(", ")} - {""})
    }
    masks |= {"excluded": rules != "", "received": rules.notna(), "counted": rules == ""}
    rows = [
        {
            "rule": rule,
            "n_annotators": main.loc[mask, "annotator_id"].nunique(),
            "n_votes": mask.sum(),
        }
        for rule, mask in masks.items()
    ]
    unknown = {"limit": float("nan"), "least": float("nan"), "n_judged": float("nan")}
    return tables.check(pd.DataFrame(rows).assign(**unknown), tables.EXCLUSIONS, "exclusions")


def _unclustered(
    results: dict[str, pd.DataFrame], unknown: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """The tables, their methods saying by what the votes could not be clustered."""
    said = "; ".join(
        f"the file names no {_NAMES[name]}: each vote stands for one of its own, and intervals "
        "may be too narrow"
        for name in unknown
    )
    if not said:
        return results
    return results | {
        name: results[name].assign(method=results[name]["method"] + f"; {said}")
        for name in results
        if name in _CLUSTERED or name.startswith("win_rates_by_")
    }


def _summary(path: Path, format: str | None, options: Options, file: VoteFile) -> dict[str, Any]:
    votes = file.comparisons
    main, kept = main_only(votes.assign(excluded_by="")), main_only(votes)
    found = {
        _NAMES[name]: None if name in file.unknown else int(kept[name].nunique()) for name in _NAMES
    }
    return {
        "file": path.name,
        "format": format or "evalkit",
        "out_of_core": False,
        "rows_left_out": file.left_out,
        "ids_unknown": list(file.unknown),
        "votes_received": len(votes),
        "votes_main": len(main),
        "votes_excluded": len(main) - len(kept),
        "votes_counted": len(kept),
        **found,
        "questions": sorted(kept["question_id"].unique()),
        "models": sorted({*kept["model_a"], *kept["model_b"]}),
        "simulated": tables.is_simulated(votes),
        "options": options.as_json(),
    }


def _large_summary(path: Path, options: Options, votes: LargeVotes, n: int) -> dict[str, Any]:
    models = {model for sums in votes.pairs.values() for model in sums.layout.models}
    return {
        "file": path.name,
        "format": "evalkit",
        "out_of_core": True,
        "rows_left_out": {},
        "ids_unknown": [],
        "votes_received": votes.n_rows,
        "votes_main": votes.n_main,
        "votes_excluded": votes.n_main - n,
        "votes_counted": n,
        "annotators": votes.n_annotators,
        "prompts": votes.n_prompts,
        "questions": sorted(votes.pairs),
        "models": sorted(models),
        "simulated": votes.simulated,
        "options": options.as_json(),
        "not_computed": NOT_COMPUTED,
    }
