"""Ratings: one strength per model with its ranks, the paper's Elo, and how stable they are."""

import pandas as pd

from evalkit.report.cells import (
    Cell,
    Row,
    Sheet,
    decimals,
    interval,
    methods,
    missing,
    number,
    sheet,
    tally,
    text,
)
from evalkit.report.figures import rank_range, rating_figure
from evalkit.report.results import Results
from evalkit.report.section import Part, Section

_POINTS = decimals(0)
_LOG_ODDS = decimals(2)


def ratings_section(results: Results) -> Section:
    """The figures and the table of ratings; then Elo, and stability, where they are there."""
    parts = [
        Part(
            words=[
                "One strength per model from all its comparisons. A rank range holds every rank "
                "that the votes leave open, for all models at once; models that may be first are "
                "tied for first."
            ],
            drawings=[
                results.drawing(
                    f"ratings-{question_id}",
                    results.study.question(question_id).text,
                    rating_figure(results.asked("ratings", question_id), results.stamp),
                    f"Ratings on {question_id}; the numbers are in the table of ratings.",
                )
                for question_id in results.question_ids
            ],
            sheets=[_rating_sheet(results)],
        )
    ]
    if not results.elo.empty:
        words = (
            "Elo as in the paper on adversarial diffusion distillation: one vote after the other "
            "with K = 1, from 1000, over many random orders of the same votes. The range shows the "
            "orders, not how sure the votes are; the ratings above have intervals."
        )
        parts.append(Part("Elo (K=1, paper)", [words], sheets=[_elo_sheet(results)]))
    if not results.stability.empty:
        words = (
            "Each rating again without one annotator, and without one prompt, at a time: the "
            "largest change, and every rank that comes up."
        )
        parts.append(Part("Without one", [words], sheets=[_stability_sheet(results)]))
    return Section("ratings", "Ratings", parts)


def _rating_sheet(results: Results) -> Sheet:
    """Every row of `tables.RATINGS`."""
    cells = {
        "Question": text("question_id"),
        "Model": text("model"),
        "Rating": number("rating", _LOG_ODDS),
        "95% interval": interval(_LOG_ODDS),
        "Elo scale": lambda row: _POINTS(row["elo"]),
        "Rank": lambda row: rank_range(row["rank_low"], row["rank_high"]) or missing(),
        "First": _first(results.ratings),
        "n": tally("n"),
        "Fit": lambda row: "converged" if row["converged"] else "not converged",
    }
    notes = [
        "Rating: log-odds, mean zero over the models. Elo scale: 1000 + rating x 400 / ln 10.",
        *methods(results.ratings),
    ]
    return sheet(
        "ratings", "Ratings", cells, results.ratings, names=2, stamp=results.stamp, notes=notes
    )


def _first(ratings: pd.DataFrame) -> Cell:
    """Whether a model is first or tied for first, by `tied_for_first`; empty where it is behind."""
    tied = ratings.get("tied_for_first", pd.Series(pd.NA, ratings.index))
    first = set(zip(ratings["question_id"], ratings["model"], tied.fillna(False), strict=True))
    n = ratings[tied.fillna(False).astype(bool)].groupby("question_id").size()

    def cell(row: Row) -> str:
        if (row["question_id"], row["model"], True) not in first:
            return ""
        return "first" if n[row["question_id"]] == 1 else "tied for first"

    return cell


def _elo_sheet(results: Results) -> Sheet:
    """Every row of `tables.ELO`."""
    cells = {
        "Question": text("question_id"),
        "Model": text("model"),
        "Elo": number("elo", _POINTS),
        "over orders": interval(_POINTS, "elo_low", "elo_high"),
        "mean field": number("mean_field", _POINTS),
        "n": tally("n"),
        "orders": tally("orders"),
    }
    return sheet(
        "elo", "Elo (K=1, paper)", cells, results.elo, names=2, stamp=results.stamp,
        notes=methods(results.elo),
    )  # fmt: skip


def _stability_sheet(results: Results) -> Sheet:
    """Every row of `tables.STABILITY`; annotators by their short labels."""

    def without(row: Row) -> str:
        labels = results.annotator_labels if row["dropped"] == "annotator" else {}
        return labels.get(row["without"], row["without"])

    cells = {
        "Question": text("question_id"),
        "Model": text("model"),
        "left out": lambda row: f"one {row['dropped']}",
        "Rating": number("rating", _LOG_ODDS),
        "largest change": number("largest_change", _LOG_ODDS),
        "without": without,
        "Ranks": lambda row: rank_range(row["rank_low"], row["rank_high"]) or missing(),
        "refitted": tally("n_refitted"),
        "of": tally("n_clusters"),
    }
    return sheet(
        "stability", "Ratings without one annotator, or one prompt", cells, results.stability,
        names=3, stamp=results.stamp, notes=methods(results.stability), aside=True,
    )  # fmt: skip
