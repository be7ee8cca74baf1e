"""Results in words, the same in the terminal and on the page."""

from collections.abc import Collection
from math import isnan
from typing import Any

import pandas as pd

from evalkit import tables
from evalkit.analysis import mean_scores

_VALUES = 10  # of a column, named in a sentence

OF_WHOM = (
    "They speak for the annotators who voted, and for prompts like these; not for other people: "
    "few annotators stay few, however many votes they give."
)


def win_rate_lines(win_rates: pd.DataFrame, unknown: Collection[str] = ()) -> list[str]:
    """One sentence per row of a win-rate table; a first line says so where votes are simulated.

    `unknown` names the ids that the votes lack (annotator_id, prompt_id): nobody can count those.
    """
    lines = [win_rate_sentence(row, unknown) for row in win_rates.to_dict("records")]
    return [tables.SIMULATED, *lines] if tables.is_simulated(win_rates) else lines


def analysis_lines(results: dict[str, pd.DataFrame], summary: dict[str, Any]) -> list[str]:
    """An analysis in words: every win rate, the ratings, and what does not count or is missing.

    Before the planned end of a study that may be looked at any time: only what holds by then.
    """
    if is_before_the_end(summary) and "anytime" in results:
        lines = [tables.SIMULATED] if tables.is_simulated(results["anytime"]) else []
        lines += anytime_lines(results["anytime"])
        lines += ["The other tables hold at the planned end only."]
    else:
        lines = win_rate_lines(results["win_rates"], summary.get("ids_unknown", ()))
        lines += [slice_sentence(name, frame) for name, frame in results.items() if "by" in frame]
        lines += rating_lines(results["ratings"])
        lines += anytime_lines(results["anytime"]) if "anytime" in results else []
    lines += [exclusion_sentence(summary)] if summary.get("votes_excluded") else []
    for reason, n in summary.get("rows_left_out", {}).items():
        lines.append(f"{counted(n, 'row')} of the file left out: {reason}.")
    for reason, names in _by_reason(summary.get("not_computed", {})).items():
        lines.append(f"{', '.join(names)}: {reason}.")
    return lines


def is_before_the_end(summary: dict[str, Any]) -> bool:
    """Whether planned votes are missing, by the summary of an analysis."""
    votes = summary.get("planned_votes", {"given": 0, "planned": 0})
    return votes["given"] != votes["planned"]


def anytime_lines(anytime: pd.DataFrame) -> list[str]:
    """What holds at every look (`tables.ANYTIME`): a line per question and pair, and of whom."""
    lines = [f"  {anytime_sentence(row)}" for row in anytime.to_dict("records")]
    return ["At any time (95% intervals that hold at every look):", *lines, f"  {OF_WHOM}"]


def anytime_sentence(row: dict[str, Any]) -> str:
    """One row of `tables.ANYTIME` in words: the decision, the win rate and its interval."""
    return (
        f"On {row['question_id']}, {row['model_a']} against {row['model_b']}: "
        f"{decision_words(row)}; {_anytime_share(row)}."
    )


def decision_words(row: dict[str, Any]) -> str:
    """The decision of a row of `tables.ANYTIME`: for whom, or with how many votes there is none."""
    if row["decision"] == "decided":
        return f"decided for {row['model_a' if row['ci_high'] > 0.5 else 'model_b']}"
    if row["decision"] == "cannot be decided":
        return f"cannot be decided with {counted(row['planned_votes'], 'vote')}"
    return str(row["decision"])


def rating_lines(ratings: pd.DataFrame) -> list[str]:
    """The ratings as a table per question: rank, model, rating on the Elo scale, its interval."""
    lines = []
    for question_id, asked in ratings.groupby("question_id", sort=False):
        lines.append(f"Ratings on {question_id} (Elo scale; rank and 95% interval):")
        width = asked["model"].str.len().max()
        for row in asked.to_dict("records"):
            if isnan(row["rating"]):
                lines.append(f"  {row['model']:<{width}}  not estimated ({_reason(row)})")
                continue
            ranks = "-".join(
                str(int(row[name])) for name in ("rank_low", "rank_high") if not isnan(row[name])
            )
            ranks = ranks.partition("-")[0] if row["rank_low"] == row["rank_high"] else ranks
            known = not isnan(row["elo_low"])
            interval = f"({row['elo_low']:.0f} to {row['elo_high']:.0f})" if known else "(unknown)"
            lines.append(
                f"  {ranks or '?':>5}  {row['model']:<{width}}  {row['elo']:.0f} {interval}"
            )
    return lines


def slice_sentence(name: str, slices: pd.DataFrame) -> str:
    """Which values of a column the table of that name has the win rates of."""
    values = [value or "(empty)" for value in slices["value"].unique()]
    shown = ", ".join(values[:_VALUES]) + (", ..." if len(values) > _VALUES else "")
    by = slices["by"].iloc[0]
    return f"{name}.csv has the win rates by {by}, {counted(len(values), 'value')}: {shown}."


def exclusion_sentence(summary: dict[str, Any]) -> str:
    """How many main votes do not count, and by which rules."""
    n, main = summary["votes_excluded"], summary["votes_main"]
    rules = f" ({summary['exclusion_rule']})" if summary.get("exclusion_rule") else ""
    said = f"{n:,} of {counted(main, 'main vote')} excluded by rule{rules}"
    if "sensitivity" in summary.get("not_computed", {}):
        return f"{said}."
    return f"{said}; sensitivity.csv has the results without exclusions beside these."


def score_lines(scores: pd.DataFrame) -> list[str]:
    """What a metric gave (`tables.SCORES` of one metric and weights), a line per model."""
    metric, weights = scores["metric"].iloc[0], scores["weights"].iloc[0]
    cut = int(scores["truncated"].sum())
    too_long = f" ({cut} of them of a prompt that was cut at the token limit)" if cut else ""
    lines = [f"{metric} of {counted(len(scores), 'image')}{too_long}, weights {weights}"]
    for row in mean_scores(scores).itertuples():
        interval = "" if isnan(row.ci_low) else f" ({row.ci_low:.2f} to {row.ci_high:.2f})"
        lines.append(f"  {row.model}: {row.mean:.2f}{interval}")
    return lines


def win_rate_sentence(row: dict[str, Any], unknown: Collection[str] = ()) -> str:
    """Who was preferred, with the win rate, its 95% interval and the counts behind it.

    The first model named is the one with the higher rate; where the interval holds 50%, no
    preference is claimed. What could not be estimated is said, with the reason that the row's
    method gives; of the ids in `unknown`, that they are.
    """
    first, second = row["model_a"], row["model_b"]
    rate, low, high = row["win_rate_a"], row["ci_low"], row["ci_high"]
    won, lost = row["wins_a"], row["wins_b"]
    question, reason = row["question_id"], _reason(row)
    if isnan(rate):
        return f"On {question}, {first} against {second} was not estimated ({reason})."
    if rate < 0.5:
        first, second, won, lost = second, first, lost, won
        rate, low, high = 1 - rate, 1 - high, 1 - low
    voters = _voters(row)
    counts = _counts(row, won, lost, unknown)
    if isnan(low):
        return (
            f"On {question}, {first} has a win rate of {_percent(rate)} against {second} "
            f"({counts}); how sure that is was not estimated ({reason})."
        )
    share = f"{_percent(rate)} ({_percent(low)} to {_percent(high)}; {counts})"
    if low > 0.5:
        chance = _may_be_chance(row["p_holm"])
        return f"On {question}, {voters} preferred {first} to {second}: win rate {share}{chance}."
    return (
        f"On {question}, no preference could be shown between {first} and {second}: win rate of "
        f"{first} {share}."
    )


def headline(win_rates: pd.DataFrame, ratings: pd.DataFrame, counts: str) -> tuple[str, str]:
    """The answer to one question in two sentences: who was preferred, and how sure that is.

    Takes its rows of `tables.WIN_RATES` and `tables.RATINGS`, and `votes_counted`. With several
    pairs it speaks of the best-rated model and the one rated second. What could not be shown, or
    not be estimated, is said so.
    """
    question_id = win_rates["question_id"].iloc[0]
    if len(win_rates) == 1:
        row = win_rates.iloc[0].to_dict()
        return _preference(row), f"This rests on {counts}."
    rated = ratings.sort_values("rating", ascending=False, kind="stable")
    if ratings.empty or ratings["rating"].isna().any():
        reason = _reason(rated.iloc[-1].to_dict()) if len(rated) else "no ratings"
        return (
            f"On {question_id}, no model can be called the best: ratings were not estimated "
            f"({reason}).",
            f"The pairs below say what can be said; this rests on {counts}.",
        )
    best, second = rated["model"].iloc[:2]
    pair = win_rates[
        win_rates["model_a"].isin([best, second]) & win_rates["model_b"].isin([best, second])
    ]
    between = (
        _preference(pair.iloc[0].to_dict(), best)
        if len(pair)
        else f"{best} and {second} were not compared with each other on {question_id}."
    )
    rank = f"{best} has the highest rating, {second} the next"
    return f"{rank}: {between}", f"{_first(rated)}; {counts}."


def anytime_headline(anytime: pd.DataFrame, counts: str) -> tuple[str, str]:
    """The answer to one question before the planned end of a study that may be looked at any time.

    Takes its rows of `tables.ANYTIME`, and `votes_counted`.
    """
    question_id, decided = anytime["question_id"].iloc[0], (anytime["decision"] == "decided").sum()
    return (
        f"On {question_id}, {decided} of {counted(len(anytime), 'pair')} "
        f"{'is' if decided == 1 else 'are'} decided so far, by intervals that hold at every look.",
        f"More is not to be said before the planned end; this rests on {counts}.",
    )


def votes_counted(comparisons: pd.DataFrame) -> str:
    """`96 votes by 12 annotators on 24 prompts`."""
    annotators, prompts = (comparisons[f"{noun}_id"].nunique() for noun in ("annotator", "prompt"))
    return (
        f"{counted(len(comparisons), 'vote')} by {counted(annotators, 'annotator')} on "
        f"{counted(prompts, 'prompt')}"
    )


def _preference(row: dict[str, Any], first: str = "") -> str:
    """One row of `tables.WIN_RATES` as the first sentence of an answer has it, without the counts.

    `first` names the model to speak of where no preference is shown; else the one that won more.
    A win rate is no share of votes where there are ties: what they count is said with it.
    """
    a, b, rate = row["model_a"], row["model_b"], row["win_rate_a"]
    low, high, question_id = row["ci_low"], row["ci_high"], row["question_id"]
    if isnan(rate):
        return f"{a} against {b} was not estimated on {question_id} ({_reason(row)})."
    shown = low > 0.5 or high < 0.5
    if rate < 0.5 if shown or not first else first == b:
        a, b, rate, low, high = b, a, 1 - rate, 1 - high, 1 - low
    ties = _ties(row)
    if isnan(low):
        counted_half = f" ({ties})" if ties else ""
        return (
            f"{a} has a win rate of {_percent(rate)} against {b} on {question_id}{counted_half}, "
            f"and how sure that is was not estimated ({_reason(row)})."
        )
    interval = f"{_percent(low)} to {_percent(high)}"
    share = f"{_percent(rate)} ({interval}; {ties})" if ties else f"{_percent(rate)} ({interval})"
    if not shown:
        return (
            f"the votes on this pair show no preference on {question_id}; win rate of {a} {share}."
            if first
            else f"On {question_id}, no preference could be shown between {a} and {b}: win rate of "
            f"{a} {share}."
        )
    voters = _voters(row)
    chance = _may_be_chance(row["p_holm"])
    said = f"{voters} preferred {a} to {b} on {question_id}, with a win rate of {share}{chance}."
    return said if first else said[0].upper() + said[1:]


def _first(rated: pd.DataFrame) -> str:
    """Which models may be first, by the ranks of `tables.RATINGS`, the highest rating on top."""
    tied = rated.get("tied_for_first", pd.Series(pd.NA, rated.index))
    if tied.isna().any():
        return "How sure the order of the ratings is was not estimated"
    first, none = list(rated.loc[tied.astype(bool), "model"]), "was shown to be rated below another"
    if len(first) == len(rated):
        said = f"all models are tied for first: none {none}"
    elif len(first) == 1:
        said = f"{first[0]} alone is first: every other model {none}"
    else:
        named = f"{', '.join(first[:-1])} and {first[-1]}"
        said = f"{named} are tied for first: none of them {none}"
    return f"By the ratings, which use the votes of all pairs, {said}"


def _anytime_share(row: dict[str, Any]) -> str:
    """`win rate of x 62% (51% to 72%; 80 votes, 12 annotators)` in a row of `tables.ANYTIME`."""
    if isnan(row["win_rate_a"]):
        return "no votes"
    rate = f"win rate of {row['model_a']} {_percent(row['win_rate_a'])}"
    counts = f"{counted(row['n'], 'vote')}, {counted(row['n_annotators'], 'annotator')}"
    if isnan(row["ci_low"]):
        return f"{rate} ({counts}), {_reason(row)}"
    return f"{rate} ({_percent(row['ci_low'])} to {_percent(row['ci_high'])}; {counts})"


def _voters(row: dict[str, Any]) -> str:
    return f"{'simulated ' if row.get('vote_source') == tables.SIMULATED else ''}annotators"


def _counts(row: dict[str, Any], won: int, lost: int, unknown: Collection[str]) -> str:
    """`46 won, 23 lost, 11 ties counted half; 20 prompts, 15 annotators`."""
    of = ", ".join(
        f"{noun}s unknown" if f"{noun}_id" in unknown else counted(row[f"n_{noun}s"], noun)
        for noun in ("prompt", "annotator")
    )
    return f"{', '.join(filter(None, [f'{won} won, {lost} lost', _ties(row)]))}; {of}"


def _ties(row: dict[str, Any]) -> str:
    """`11 ties counted half`, as the rule of the row has it; empty where there are none."""
    ties = [counted(row["ties"], "tie")] if row["ties"] else []
    both_bad = [f"{row['both_bad']} both bad"] if row["both_bad"] else []
    rule = row.get("ties_rule", "half")
    halves = {"half": ties + both_bad, "both_bad_apart": ties}.get(rule, [])
    left_out = {"drop": ties + both_bad, "both_bad_apart": both_bad}.get(rule, [])
    half = [f"{' and '.join(halves)} counted half"] if halves else []
    return ", ".join(half + ([f"{' and '.join(left_out)} left out"] if left_out else []))


def counted(n: int, noun: str) -> str:
    """`1 prompt`, `24 prompts`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _reason(row: dict[str, Any]) -> str:
    return row["method"].split(";")[0]


def _by_reason(missing: dict[str, str]) -> dict[str, list[str]]:
    """The tables that each reason names."""
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(reason, []).append(name)
    return names


def _percent(share: float) -> str:
    """Whole percent, with decimals where without them it would seem to be 50% and is not."""
    if share != 0.5:
        for digits in (0, 1, 2):
            text = f"{share:.{digits}%}"
            if float(text.rstrip("%")) != 50:
                return text
    return f"{share:.0%}"


def _may_be_chance(p_holm: float) -> str:
    """A caveat where the interval leaves out 50% but the test over all pairs of the question does
    not (Holm, .05)."""
    return f"; over all pairs this may be chance (Holm p = {p_holm:.2f})" if p_holm > 0.05 else ""
