"""The votes and who gave them: agreement, sides, ties, every annotator, exclusions."""

import pandas as pd

from evalkit.analysis.annotators import FLAGS
from evalkit.report.cells import (
    Cell,
    Form,
    Sheet,
    count,
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
from evalkit.report.figures import sides_figure
from evalkit.report.results import Results
from evalkit.report.section import Part, Section
from evalkit.report.sections.exclusions import exclusions_part
from evalkit.report.terms import MEASURES, TIES

_TWO = decimals(2)
_DASH = "\N{EN DASH}"


def voters_section(results: Results) -> Section:
    """A part for each table that the analysis made: agreement, sides, ties, annotators."""
    parts = []
    if not results.agreement.empty:
        words = (
            "How far annotators agree with each other on the same pair, and with themselves on a "
            "hidden repeat. Alpha is 0 by chance and 1 where all agree; low agreement is no fault "
            "of a vote where taste differs, but asks for more votes."
        )
        parts.append(Part("Agreement", [words], sheets=[_agreement_sheet(results)]))
    if not results.sides.empty:
        parts.append(_sides_part(results))
    if not results.tie_rules.empty:
        words = "The same votes under each rule for ties; the headline's rule is chosen beforehand."
        parts.append(Part("Rules for ties", [words], sheets=[_tie_sheet(results)]))
    if not results.annotators.empty:
        words = (
            "Every annotator, under a label of this page; a flag says where to look and excludes "
            "nobody."
        )
        parts.append(Part("Annotators", [words], sheets=[_annotator_sheet(results)]))
    if not results.exclusions.empty:
        parts.append(exclusions_part(results))
    absent = "No tables of the votes themselves; run evalkit analyze STUDY again."
    return Section("voters", "Votes and annotators", parts or [Part(absent=absent)])


def _sides_part(results: Results) -> Part:
    words = (
        "Sides are drawn by chance, so the left image should win half of the decided votes. A bias "
        "to one side favours no model then, but pulls win rates towards 50%."
    )
    drawing = results.drawing(
        "sides", "The 95% interval should hold the 50% line.",
        sides_figure(results.sides, results.stamp),
        "Share of decided votes for the left image, per question; the numbers are in the table.",
    )  # fmt: skip
    return Part("Position bias", [words], [drawing], [_sides_sheet(results)])


def _agreement_sheet(results: Results) -> Sheet:
    """Every row of `tables.AGREEMENT`."""
    cells = {
        "Question": text("question_id"),
        "Measure": lambda row: MEASURES[row["measure"]],
        "Estimate": number("estimate", _TWO),
        "95% interval": interval(_TWO),
        "n": tally("n"),
        "units": tally("n_units"),
        "annotators": tally("n_annotators"),
    }
    return sheet(
        "agreement", "Agreement", cells, results.agreement, names=2, stamp=results.stamp,
        notes=methods(results.agreement),
    )  # fmt: skip


def _sides_sheet(results: Results) -> Sheet:
    """Every row of `tables.LEFT_SHARE`."""
    cells = {
        "Question": text("question_id"),
        "left preferred": number("left_share", percent),
        "95% interval": interval(percent),
        "left": tally("n_left"),
        "right": tally("n_right"),
        "ties": tally("ties"),
        "both bad": tally("both_bad"),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    return sheet(
        "sides", "Left image preferred", cells, results.sides, names=1, stamp=results.stamp,
        notes=methods(results.sides),
    )  # fmt: skip


def _tie_sheet(results: Results) -> Sheet:
    """Every row of `tables.TIE_RULES`."""
    cells = {
        "Question": text("question_id"),
        "A": text("model_a"),
        "B": text("model_b"),
        "Rule": lambda row: TIES[row["ties_rule"]],
        "win rate of A": number("win_rate_a", percent),
        "95% interval": interval(percent),
        "n": tally("n"),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    return sheet(
        "tie-rules", "Win rates under each rule for ties", cells, results.tie_rules, names=4,
        stamp=results.stamp, aside=True,
    )  # fmt: skip


def _annotator_sheet(results: Results) -> Sheet:
    """Every row of `tables.ANNOTATORS`, each under a label in place of the id."""
    cells = {
        "Annotator": lambda row: results.annotator_labels[row["annotator_id"]],
        "votes": tally("n_votes"),
        "median ms": lambda row: _known(row["median_ms"], decimals(0)),
        "left": lambda row: _known(row["left_share"], percent),
        "ties": lambda row: _known(row["tie_share"], percent),
        "attention": _of("attention_passed", "attention_n"),
        "repeats": _of("repeats_consistent", "repeats_n"),
        "agreement": lambda row: _known(row["agreement"], percent),
        "distance": lambda row: _known(row["outlier_distance"], decimals(2)),
        "flags": lambda row: _words(row.get("flags")),
        "set aside by": lambda row: _words(row.get("excluded_by")),
    }
    notes = [
        "Attention and repeats: passed, of how many. Agreement: with other annotators on the same "
        "pair. Distance: how unlikely the votes are as those of the others go; 0 is usual. A dash: "
        "too few votes to say. The files of this page have the same labels, and no stored ids.",
        *(f"Flag {name}: {meaning}." for name, meaning in FLAGS.items()),
    ]
    return sheet(
        "annotators", "Annotators", cells, results.annotators, names=1, stamp=results.stamp,
        notes=notes, aside=True,
    )  # fmt: skip


def _of(right: str, n: str) -> Cell:
    """`3 of 4`; a dash where there were none."""
    return lambda row: count(row[right]) + " of " + count(row[n]) if row[n] else _DASH


def _known(value: float, form: Form) -> str:
    return form(value) if pd.notna(value) else _DASH


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""
