"""Studies and vote files -> result tables on disk."""

import json
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.analysis import mean_scores, median_speeds, ratings, summary, win_rates
from evalkit.comparisons import attention_answers, read_imported, unblind
from evalkit.errors import StudyError
from evalkit.files import write_json, write_text
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder


def analyze_study(folder: StudyFolder) -> dict[str, pd.DataFrame]:
    """Write comparisons, win rates, ratings, scores, speed and summary into `folder.analysis`.

    Gives the tables by name. StudyError before the first vote.
    """
    store = open_store(folder.store_file)
    trials, votes, annotators = store.trials(), store.votes(), store.annotators()
    if votes.empty:
        raise StudyError(
            f"{folder.root}: no votes yet; invite annotators with: evalkit invite {folder.root}, "
            f"and collect votes with: evalkit serve {folder.root}"
        )
    simulated = set(annotators.loc[annotators["simulated"], "annotator_id"])
    comparisons = unblind(
        votes,
        trials,
        tables.read(folder.pairs_file, tables.PAIRS),
        folder.read_prompts(),
        simulated,
    )
    attention = attention_answers(votes, trials, tables.read(folder.checks_file, tables.CHECKS))
    results = _write_estimates(comparisons, folder.analysis)
    tables.write(comparisons, folder.analysis / "comparisons.csv", tables.COMPARISONS)
    is_simulated = tables.is_simulated(comparisons)
    results["scores"] = mean_scores(_read_scores(folder))
    results["speed"] = median_speeds(folder.read_images())
    for name in ("scores", "speed"):
        labelled = tables.label_simulated(results[name], is_simulated)
        write_text(folder.analysis / f"{name}.csv", labelled.to_csv(index=False))
    counts = summary(comparisons, attention)
    if folder.simulation_file.is_file():
        counts["simulation"] = json.loads(folder.simulation_file.read_text("utf-8"))
    write_json(folder.analysis / "summary.json", counts)
    return {"comparisons": comparisons, **results}


def analyze_file(path: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Write win rates and ratings of the votes in a CSV file into the folder `out`.

    Columns of the file: `tables.IMPORTED_VOTES`. TableError, with the line, on a bad row;
    StudyError on a file without votes; nothing is written then.
    """
    comparisons = read_imported(path)
    if comparisons.empty:
        raise StudyError(f"{path}: no votes in it; give a table with one row per vote")
    return _write_estimates(comparisons, out)


def _write_estimates(comparisons: pd.DataFrame, out: Path) -> dict[str, pd.DataFrame]:
    is_simulated = tables.is_simulated(comparisons)
    results = {
        "win_rates": tables.label_simulated(win_rates(comparisons), is_simulated),
        "ratings": tables.label_simulated(ratings(comparisons), is_simulated),
    }
    tables.write(results["win_rates"], out / "win_rates.csv", tables.WIN_RATES)
    tables.write(results["ratings"], out / "ratings.csv", tables.RATINGS)
    return results


def _read_scores(folder: StudyFolder) -> pd.DataFrame:
    files = sorted(folder.scores.glob("*.csv"))
    frames = [tables.read(file, tables.SCORES) for file in files]
    return pd.concat(frames, ignore_index=True) if frames else tables.SCORES.empty()
