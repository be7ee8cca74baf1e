"""Win rates: a bar per pair and question, and every number of the table."""

import pandas as pd
from markupsafe import Markup

from evalkit.report.cells import (
    Sheet,
    interval,
    leading,
    methods,
    missing,
    number,
    p_value,
    percent,
    sheet,
    tally,
    text,
)
from evalkit.report.figures import pairs_link, win_rate_figure
from evalkit.report.results import Results
from evalkit.report.section import Drawing, Part, Section
from evalkit.report.terms import ties_counted
from evalkit.wording import decision_words, win_rate_sentence

_ANYTIME = Markup(
    "The stopping rule of the study is <em>anytime</em>: the intervals below hold at every look, "
    "all others on this page at the planned end only."
)


def win_rates_section(results: Results) -> Section:
    """The figure of each question, then the table; under the rule anytime, its table as well."""
    ties = f"; {said}" if (said := ties_counted(results.win_rates)) else ""
    words = [
        "Each bar is one pair, split at the win rate: the share of comparisons that a model won"
        f"{ties}. The whisker is the 95% interval; where it leaves out the 50% line, the "
        "preferred side is in full colour."
    ]
    if results.pairs_are_known:
        words[0] += " A bar leads to the pairs behind it."
    parts = [
        Part(
            words=words,
            drawings=[_drawing(results, question_id) for question_id in results.question_ids],
            sheets=[win_rate_sheet(results)],
        )
    ]
    if not results.anytime.empty:
        parts.append(
            Part(words=[_ANYTIME], sheets=[anytime_sheet(results.anytime, results.stamp_anytime)])
        )
    return Section("win-rates", "Win rates", parts)


def win_rate_sheet(results: Results) -> Sheet:
    """Every row of `tables.WIN_RATES`; its win rate leads to the pairs behind it."""
    rate = number("win_rate_a", percent)
    cells = {
        "Question": text("question_id"),
        "A": text("model_a"),
        "B": text("model_b"),
        "win rate of A": leading(rate, pairs_link) if results.pairs_are_known else rate,
        "95% interval": interval(percent),
        "for A": tally("wins_a"),
        "for B": tally("wins_b"),
        "ties": tally("ties"),
        "both bad": tally("both_bad"),
        "n": tally("n"),
        "prompts": tally("n_prompts"),
        "annotators": tally("n_annotators"),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    return sheet(
        "win-rates", "Win rates", cells, results.win_rates, names=3, stamp=results.stamp,
        notes=methods(results.win_rates),
    )  # fmt: skip


def anytime_sheet(anytime: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.ANYTIME`."""
    cells = {
        "Question": text("question_id"),
        "A": text("model_a"),
        "B": text("model_b"),
        "win rate of A": lambda row: (
            percent(row["win_rate_a"]) if row["n"] else missing("no votes")
        ),
        "anytime interval": interval(percent),
        "decision": decision_words,
        "n": tally("n"),
        "prompts": tally("n_prompts"),
        "annotators": tally("n_annotators"),
        "p": lambda row: p_value(row["p_value"]),
        "p (Holm)": lambda row: p_value(row["p_holm"]),
    }
    notes = [f"{word}." for name in ("warning", "method") for word in sorted(set(anytime[name]))]
    return sheet(
        "anytime", "Win rates at any time", cells, anytime, names=3, stamp=stamp, notes=notes
    )


def _drawing(results: Results, question_id: str) -> Drawing:
    asked = results.asked("win_rates", question_id)
    rows = asked.to_dict("records")
    linked = results.pairs_are_known
    links = {
        pairs_link(row): f"Pairs of {row['model_a']} and {row['model_b']} on {question_id}"
        for row in rows
    }
    return results.drawing(
        f"win-rates-{question_id}",
        results.study.question(question_id).text,
        win_rate_figure(asked, results.stamp, linked),
        f"Win rates on {question_id}. {' '.join(map(win_rate_sentence, rows))}",
        links=links if linked else {},
    )
