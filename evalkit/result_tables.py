"""Studies and vote files -> result tables on disk."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis import (
    bench_speeds,
    is_compiled,
    mean_scores,
    median_speeds,
    ratings,
    summary,
    win_rates,
)
from evalkit.comparisons import attention_answers, read_imported, unblind
from evalkit.early_looks import planned_votes, record_look, recorded_looks, require_planned
from evalkit.errors import StudyError, first_line, listed
from evalkit.files import write_json
from evalkit.lock import open_votes, require_same_study, require_unchanged
from evalkit.store import Store
from evalkit.study_folder import StudyFolder

_TABLES = {
    "comparisons": tables.COMPARISONS,
    "win_rates": tables.WIN_RATES,
    "ratings": tables.RATINGS,
    "scores": tables.MEAN_SCORES,
    "speed": tables.SPEED,
}


def analyze_study(folder: StudyFolder, early_at: str | None = None) -> dict[str, pd.DataFrame]:
    """Write comparisons, win rates, ratings, scores, speed and summary into `folder.analysis`.

    Gives the tables by name; all of them are made before the first is written. `early_at` is the
    time of a look before the planned votes are there: the study's log keeps it, and this and every
    later summary tells it. StudyError where votes are missing and it is None, before the first
    vote, where the study has changed since, or where images lack a score.
    """
    require_unchanged(folder)
    with closing(open_votes(folder)) as store:
        if not store.has_votes():
            raise StudyError(
                f"{folder.root}: no votes yet; invite annotators with: evalkit invite "
                f"{folder.root}, and collect votes with: evalkit serve {folder.root}"
            )
        require_same_study(folder, store)
        planned = planned_votes(store)  # before the votes are read: they are never fewer than said
        if early_at is None:
            require_planned(planned, folder.root, folder.root)
        results, counts = _results(folder, store)
        if early_at is not None and planned.banner:
            record_look(store, planned, early_at)
        counts["planned_votes"] = {**asdict(planned), "early_looks": recorded_looks(store)}
    _write(results, folder.analysis)
    write_json(folder.analysis / "summary.json", counts)
    return results


def _results(folder: StudyFolder, store: Store) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The result tables by name, and the counts of the summary."""
    votes = store.votes()
    trials, annotators = store.trials(), store.annotators()  # after the votes: each has its trial
    comparisons = unblind(
        votes,
        trials,
        tables.read(folder.pairs_file, tables.PAIRS),
        folder.read_prompts(),
        set(annotators.loc[annotators["simulated"], "annotator_id"]),
    )
    attention = attention_answers(votes, trials, tables.read(folder.checks_file, tables.CHECKS))
    counts = summary(comparisons, attention)
    if folder.simulation_file.is_file():
        counts["simulation"] = json.loads(folder.simulation_file.read_text("utf-8"))
    images = folder.read_images()
    results = {
        "comparisons": comparisons,
        **_estimates(comparisons),
        "scores": mean_scores(_read_scores(folder, images)),
        "speed": _speeds(folder, images),
    }
    for name in ("scores", "speed"):
        results[name] = tables.label_simulated(results[name], tables.is_simulated(comparisons))
    return results, counts


def analyze_file(path: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Write win rates and ratings of the votes in a CSV file into the folder `out`.

    Columns of the file: `tables.IMPORTED_VOTES`. TableError, with the line, on a bad row;
    StudyError on a file without votes; nothing is written then.
    """
    if out.exists() and not out.is_dir():
        raise StudyError(f"--out: {out} is a file; give a folder for the tables")
    comparisons = read_imported(path)
    if comparisons.empty:
        raise StudyError(f"{path}: no votes in it; give a table with one row per vote")
    results = _estimates(comparisons)
    _write(results, out)
    return results


def _estimates(comparisons: pd.DataFrame) -> dict[str, pd.DataFrame]:
    is_simulated = tables.is_simulated(comparisons)
    return {
        "win_rates": tables.label_simulated(win_rates(comparisons), is_simulated),
        "ratings": tables.label_simulated(ratings(comparisons), is_simulated),
    }


def _write(results: dict[str, pd.DataFrame], out: Path) -> None:
    for name, frame in results.items():
        tables.write(frame, out / f"{name}.csv", _TABLES[name])


def _speeds(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The latencies of bench.json where it is there; else the seconds per image of generation.

    Raises StudyError where models were timed with other settings than those of the study, or
    compiled where the study does not compile them, or the reverse.
    """
    if not folder.bench_file.is_file():
        return median_speeds(images)
    again = f"run: evalkit bench --study {folder.root}, or delete the file"
    try:
        bench = json.loads(folder.bench_file.read_text("utf-8"))
        timed = {
            model["model"]: (model["settings"], is_compiled(model)) for model in bench["models"]
        }
        speeds = bench_speeds(bench)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{folder.bench_file}: is not what evalkit bench writes ({first_line(error)}); {again}"
        ) from None
    specs = {model.name: model for model in folder.study.models}
    other = [
        name for name in timed if name not in specs or specs[name].settings() != timed[name][0]
    ]
    if other:
        raise StudyError(
            f"{folder.bench_file}: {listed(other)} timed with other settings than those of "
            f"study.toml; {again}"
        )
    for name, (_, compiled) in timed.items():
        if compiled != getattr(specs[name], "compile", False):
            raise StudyError(
                f"{folder.bench_file}: {name} was timed {'' if compiled else 'un'}compiled, and "
                f"study.toml has compile = {str(not compiled).lower()}; {again}"
            )
    return speeds


def _read_scores(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The scores of the images that are ok; StudyError where a metric lacks some of them."""
    ok = images.loc[images["status"] == "ok", "image_id"]
    kept = [tables.SCORES.empty()]
    for file in sorted(folder.scores.glob("*.csv")):
        scores = tables.read(file, tables.SCORES)
        scores = scores[scores["image_id"].isin(ok)]
        lacking = len(ok) - scores.groupby("weights")["image_id"].nunique().min()
        if scores.empty or lacking:
            raise StudyError(
                f"{file}: not every image of the study has a score; made before its images were; "
                f"run: evalkit score {folder.root} --metric {file.stem}, or delete the file"
            )
        kept.append(scores)
    return pd.concat(kept[1:] or kept, ignore_index=True)
