"""The tables of the dashboard: annotators with flags, pairs, open trials, the log."""

import altair as alt
import pandas as pd
import streamlit as st

from evalkit.analysis.annotators import FLAGS, fast_floor
from evalkit.monitoring import annotator_rows, question_progress
from study_app.dashboard.watched import Watched, now

_TIME = "YYYY-MM-DD HH:mm"
_INK = "#1a1a1a"
_BARS = ("#1a4fa0", "#b35c00", "#4a7c2a", "#7a3b8f")  # a colour per question, over again
_PERCENT = {"format": "%.0f%%"}


def draw_annotators(watched: Watched) -> None:
    """One row per annotator, flagged ones first; a click on a column's name sorts."""
    rows = annotator_rows(watched.store, now())
    rows = rows.sort_values("last_seen_at", ascending=False)
    rows = rows.sort_values("flags", key=lambda flags: flags == "", kind="stable")
    design = watched.store.study().design
    st.dataframe(
        annotator_view(rows, design.trials_per_annotator),
        hide_index=True,
        column_config=_annotator_columns(),
        placeholder="-",
    )
    with st.expander("What the flags mean"):
        st.write("A flag says where to look. It excludes nobody and changes no result.")
        for name, rule in FLAGS.items():
            st.write(f"**{name}**: {rule}")
        st.write(f"The floor for fast votes is {fast_floor(design.min_viewing_ms):,} ms.")


def annotator_view(rows: pd.DataFrame, trials: int) -> pd.DataFrame:
    """What is shown of `monitoring.annotator_rows`, shares in percent; `trials` are one share.

    A share of nothing is NaN.
    """
    return pd.DataFrame(
        {
            "annotator": rows["annotator_id"],
            "stage": rows["stage"],
            "flags": rows["flags"],
            "done": 100 * rows["n_votes"] / trials,
            "votes": rows["n_votes"],
            "seconds": rows["median_ms"] / 1000,
            "fast": 100 * rows["fast_share"],
            "attention": _percent(rows["attention_passed"], rows["attention_n"]),
            "checks": rows["attention_n"],
            "left": 100 * rows["left_share"],
            "left_low": 100 * rows["left_low"],
            "left_high": 100 * rows["left_high"],
            "agreement": 100 * rows["agreement"],
            "outlier": rows["outlier_distance"],
            "repeats": _percent(rows["repeats_consistent"], rows["repeats_n"]),
            "ties": 100 * rows["tie_share"],
            "run": rows["longest_run"],
            "last_seen": pd.to_datetime(rows["last_seen_at"], utc=True),
            "external_id": rows["external_id"],
            "blocked": rows["blocked_reason"],
        }
    )


def _percent(part: pd.Series, n: pd.Series) -> pd.Series:
    return 100 * part / n.where(n > 0)


def draw_pairs(watched: Watched) -> None:
    """How far each question is, and how many of its pairs have how many votes."""
    pairs = watched.store.pair_votes()
    progress = pd.DataFrame([vars(question) for question in question_progress(watched.store)])
    names = ["Question", "Pairs", "With all votes", "Planned votes", "Given"]
    table, chart = st.columns([2, 3], gap="large")
    table.dataframe(progress.set_axis(names, axis=1), hide_index=True)
    wanted = ", ".join(str(n) for n in sorted(pairs["wanted"].unique()))
    chart.write(f"**Pairs by the votes they have** ({wanted} wanted on each)")
    chart.altair_chart(_pairs_chart(pairs, list(progress["question_id"])), theme=None)


def _pairs_chart(pairs: pd.DataFrame, questions: list[str]) -> alt.Chart:
    """How many pairs have 0, 1, 2, ... votes: a bar per question."""
    counts = pairs.groupby(["question_id", "voted"]).size().rename("pairs").reset_index()
    ink = {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 13, "titleFontSize": 13}
    chart = alt.Chart(counts, height=260).encode(
        x=alt.X(
            "voted:O",
            title="votes on the pair",
            axis=alt.Axis(labelAngle=0, ticks=False),
            scale=alt.Scale(domain=list(range(int(counts["voted"].max()) + 1))),
        ),
        xOffset=alt.XOffset("question_id:N", sort=questions),
        y=alt.Y("pairs:Q", axis=alt.Axis(tickMinStep=1, gridColor="#bbbbbb")),
        color=alt.Color(
            "question_id:N",
            title=None,
            sort=questions,
            scale=alt.Scale(range=list(_BARS)),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=["question_id", "voted", "pairs"],
    )
    return (
        chart.mark_bar()
        .configure(background="transparent")
        .configure_axis(**ink)
        .configure_legend(labelColor=_INK, labelFontSize=13)
        .configure_view(stroke=None)
    )


def draw_leases(watched: Watched) -> None:
    """Trials that are on somebody's screen, or were left there."""
    leases = watched.store.open_leases(now())
    if leases.empty:
        st.write("Nobody has an open trial.")
        return
    times = {name: pd.to_datetime(leases[name], utc=True) for name in ("issued_at", "lease_until")}
    st.dataframe(
        leases.assign(**times),
        hide_index=True,
        column_config={
            "annotator_id": "Annotator",
            "trial_id": "Trial",
            "issued_at": st.column_config.DatetimeColumn("Issued (UTC)", format=_TIME),
            "lease_until": st.column_config.DatetimeColumn("Kept until (UTC)", format=_TIME),
        },
    )


def draw_log(watched: Watched) -> None:
    """What happened, the newest first."""
    log = watched.store.log().sort_values("number", ascending=False)
    st.dataframe(
        log.assign(at=pd.to_datetime(log["at"], utc=True)),
        hide_index=True,
        placeholder="-",
        column_config={
            "number": "Number",
            "at": st.column_config.DatetimeColumn("At (UTC)", format=_TIME),
            "actor": "Who",
            "annotator_id": "Annotator",
            "event": "What",
            "detail": st.column_config.TextColumn("Detail", width="large"),
        },
    )


def _annotator_columns() -> dict[str, object]:
    column = st.column_config
    return {
        "annotator": column.TextColumn("Annotator", pinned=True),
        "stage": column.TextColumn("Stage"),
        "flags": column.TextColumn("Flags", width=230),
        "done": column.ProgressColumn("Progress", **_PERCENT, min_value=0, max_value=100),
        "votes": column.NumberColumn("Votes", help="All but practice"),
        "seconds": column.NumberColumn("Median s", format="%.1f"),
        "fast": column.NumberColumn("Fast", **_PERCENT, help="Votes under the floor"),
        "attention": column.NumberColumn("Attention", **_PERCENT, help="Checks passed"),
        "checks": column.NumberColumn("Checks"),
        "left": column.NumberColumn("Left", **_PERCENT, help="Of the votes for a side"),
        "left_low": column.NumberColumn("Left from", **_PERCENT, help="95% interval (Wilson)"),
        "left_high": column.NumberColumn("to", **_PERCENT),
        "agreement": column.NumberColumn(
            "Agreement", **_PERCENT, help="Votes of others on the same pairs that say the same"
        ),
        "outlier": column.NumberColumn(
            "Outlier", format="%.1f", help="How unlikely the votes are, as others vote; see flags"
        ),
        "repeats": column.NumberColumn("Repeats", **_PERCENT, help="Same choice when shown again"),
        "ties": column.NumberColumn("Ties", **_PERCENT),
        "run": column.NumberColumn("Longest run", help="Of one choice"),
        "last_seen": column.DatetimeColumn("Last heard of (UTC)", format=_TIME),
        "external_id": column.TextColumn("Outside id"),
        "blocked": column.TextColumn("Blocked because"),
    }
