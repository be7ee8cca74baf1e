"""Metrics: mean scores, paired differences, and how well each predicts the votes."""

from markupsafe import Markup

from evalkit.report.cells import (
    Sheet,
    decimals,
    interval,
    methods,
    number,
    p_value,
    percent,
    sheet,
    tally,
    text,
)
from evalkit.report.figures import (
    metric_accuracy_figure,
    metric_bins_figure,
    score_figure,
)
from evalkit.report.results import Results
from evalkit.report.section import Drawing, Part, Section
from evalkit.report.terms import MEASURES

_TWO = decimals(2)
_ABSENT = Markup(
    "No scores yet. Run <code>evalkit score STUDY</code>, then <code>evalkit analyze STUDY</code> "
    "and <code>evalkit report STUDY</code>."
)


def metrics_section(results: Results) -> Section:
    """A part for each table that there is; a line that names the command where there is none."""
    parts = []
    if not results.mean_scores.empty:
        parts.append(_means_part(results))
    if not results.metric_differences.empty:
        words = (
            "The same prompts and seeds, one model's score less the other's: prompts that are hard "
            "for all models do not blur these, as they do the means."
        )
        parts.append(Part("Paired differences", [words], sheets=[_difference_sheet(results)]))
    if not results.metric_agreement.empty:
        parts.append(_against_people_part(results))
    if not results.disagreements.empty:
        words = (
            "The pairs on which votes and metric differ most, the first of each question and "
            "metric first: what a metric does not see is best seen there."
        )
        parts.append(
            Part("Where people and metrics differ", [words], sheets=[_disagreement_sheet(results)])
        )
    if not results.judge_bias.empty:
        words = (
            "Each pair was judged twice, with either image first: a judge without a taste for a "
            "place prefers the first half of the time, and seldom contradicts itself."
        )
        parts.append(Part("Judges of pairs", [words], sheets=[_judge_sheet(results)]))
    if not results.sets.empty:
        words = (
            "All images of a model against a reference; by the card of each metric, less is better."
        )
        parts.append(Part("Models against a reference", [words], sheets=[_set_sheet(results)]))
    if not results.spreads.empty:
        words = "How different the images of one prompt are across seeds, mean over prompts."
        parts.append(Part("Variety", [words], sheets=[_spread_sheet(results)]))
    return Section("scores", "Metrics", parts or [Part(absent=_ABSENT)])


def _means_part(results: Results) -> Part:
    words = "Computed from images and prompts, not from votes. Compare only under the same weights."
    groups = results.mean_scores.groupby(["metric", "weights"], sort=True)
    drawings = [
        results.drawing(
            f"scores-{number}",
            f"{metric}, weights {weights}",
            score_figure(means.sort_values("mean", ascending=False), results.stamp_beside),
            f"Mean {metric} per model; the numbers are in the table of scores.",
        )
        for number, ((metric, weights), means) in enumerate(groups, start=1)
    ]
    return Part("Mean scores", [words], drawings, [_score_sheet(results)])


def _against_people_part(results: Results) -> Part:
    words = (
        "How many decided votes a metric predicts. The ceiling is how well the other annotators "
        "predict the same votes, the floor how well the names of the two models alone do: a metric "
        "under the floor says nothing about single images that its mean does not say. Where few "
        "others voted on an image, the ceiling of these few can lie under floor and metric."
    )
    sheets = [_agreement_sheet(results)]
    if not results.metric_bins.empty:
        sheets.append(_bin_sheet(results))
    return Part("Metrics against people", [words], _against_people_drawings(results), sheets)


def _against_people_drawings(results: Results) -> list[Drawing]:
    """The figures of metrics against people: all metrics of a question, then each one's bins."""
    found = results.metric_agreement
    drawings = [
        results.drawing(
            f"metric-accuracy-{question_id}",
            f"{results.study.question(question_id).text} The band reaches from floor to ceiling.",
            metric_accuracy_figure(found[found["question_id"] == question_id], results.stamp),
            f"Votes on {question_id} that each metric predicts; the numbers are in the table.",
        )
        for question_id in results.question_ids
        if question_id in set(found["question_id"])
    ]
    of_bins = results.metric_bins.groupby(["question_id", "metric", "weights"], sort=False)
    return drawings + [
        results.drawing(
            f"metric-bins-{number}",
            f"{question_id} by {metric}: does a larger difference of scores predict better?",
            metric_bins_figure(bins, results.stamp),
            f"Votes on {question_id} that {metric} predicts, by the difference of its scores; the "
            "numbers are in the table.",
        )
        for number, ((question_id, metric, _), bins) in enumerate(of_bins, start=1)
    ]


def _score_sheet(results: Results) -> Sheet:
    """Every row of `tables.MEAN_SCORES`."""
    cells = {
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Model": text("model"),
        "Mean": number("mean", _TWO),
        "95% interval": interval(_TWO),
        "images": tally("n"),
    }
    return sheet(
        "scores", "Metric scores", cells, results.mean_scores, names=3,
        stamp=results.stamp_beside, notes=methods(results.mean_scores),
    )  # fmt: skip


def _difference_sheet(results: Results) -> Sheet:
    """Every row of `tables.METRIC_DIFFERENCES`."""
    cells = {
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Question": lambda row: row["question_id"] or "every",
        "A": text("model_a"),
        "B": text("model_b"),
        "A less B": number("mean_difference", decimals(3)),
        "95% interval": interval(decimals(3)),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
        "pairs": tally("n"),
        "prompts": tally("n_prompts"),
    }
    return sheet(
        "metric-differences", "Differences of scores, paired", cells, results.metric_differences,
        names=5, stamp=results.stamp_beside, notes=methods(results.metric_differences),
    )  # fmt: skip


def _judge_sheet(results: Results) -> Sheet:
    """Every row of `tables.JUDGE_BIAS`."""
    cells = {
        "Question": text("question_id"),
        "Judge": text("metric"),
        "Weights": text("weights"),
        "prefers the first": number("first_share", percent),
        "95% interval": interval(percent),
        "contradicts itself": number("contradictions", percent),
        "judgements": tally("n"),
        "prompts": tally("n_prompts"),
    }
    return sheet(
        "judge-bias", "Judges and places", cells, results.judge_bias, names=3,
        stamp=results.stamp_beside, notes=methods(results.judge_bias),
    )  # fmt: skip


def _set_sheet(results: Results) -> Sheet:
    """Every row of `tables.SET_SCORES`."""
    cells = {
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Model": text("model"),
        "Reference": text("reference"),
        "Distance": number("score", decimals(4)),
        "95% interval": interval(decimals(4)),
        "images": tally("n"),
        "of the reference": tally("n_reference"),
    }
    return sheet(
        "sets", "Distances from a reference", cells, results.sets, names=4,
        stamp=results.stamp_beside, notes=methods(results.sets),
    )  # fmt: skip


def _spread_sheet(results: Results) -> Sheet:
    """Every row of spreads.csv (`tables.MEAN_SCORES`)."""
    cells = {
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Model": text("model"),
        "Mean": number("mean", decimals(3)),
        "95% interval": interval(decimals(3)),
        "prompts": tally("n_prompts"),
    }
    return sheet(
        "spreads", "Variety across seeds", cells, results.spreads, names=3,
        stamp=results.stamp_beside, notes=methods(results.spreads),
    )  # fmt: skip


def _agreement_sheet(results: Results) -> Sheet:
    """Every row of `tables.METRIC_AGREEMENT`."""
    cells = {
        "Question": text("question_id"),
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Measure": lambda row: MEASURES[row["measure"]],
        "Estimate": number("estimate", decimals(3)),
        "95% interval": interval(decimals(3)),
        "n": tally("n"),
        "prompts": tally("n_prompts"),
        "annotators": tally("n_annotators"),
    }
    return sheet(
        "metric-agreement", "Metrics against people", cells, results.metric_agreement, names=4,
        stamp=results.stamp, notes=methods(results.metric_agreement),
    )  # fmt: skip


def _bin_sheet(results: Results) -> Sheet:
    """Every row of `tables.METRIC_BINS`."""
    cells = {
        "Question": text("question_id"),
        "Metric": text("metric"),
        "Weights": text("weights"),
        "Difference of scores": interval(decimals(3), "difference_low", "difference_high"),
        "votes predicted": number("accuracy", percent),
        "95% interval": interval(percent),
        "n": tally("n"),
        "prompts": tally("n_prompts"),
    }
    return sheet(
        "metric-bins", "Votes predicted, by the difference of scores", cells, results.metric_bins,
        names=3, stamp=results.stamp, notes=methods(results.metric_bins), aside=True,
    )  # fmt: skip


def _disagreement_sheet(results: Results) -> Sheet:
    """Every row of `tables.DISAGREEMENTS`, the prompt in words."""
    prompts = results.prompts.set_index("prompt_id")["prompt"]
    cells = {
        "Question": text("question_id"),
        "Metric": text("metric"),
        "Prompt": lambda row: prompts.get(row["prompt_id"], row["prompt_id"]),
        "place": tally("place"),
        "A": text("model_a"),
        "B": text("model_b"),
        "votes for A": lambda row: percent(row["share_a"]),
        "as the metric has it": lambda row: percent(row["expected_a"]),
        "n": tally("n"),
        "score of A": lambda row: decimals(3)(row["score_a"]),
        "score of B": lambda row: decimals(3)(row["score_b"]),
    }
    return sheet(
        "disagreements", "Pairs on which people and metric differ", cells, results.disagreements,
        names=3, stamp=results.stamp, aside=True,
    )  # fmt: skip
