"""A study's overview as a page of the terminal."""

from datetime import datetime
from pathlib import Path

import pandas as pd
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evalkit.cli.terminal import ALARM, HEAD, table
from evalkit.early_looks import HOLDS
from evalkit.monitoring import Overview
from evalkit.wording import anytime_lines


def status_page(
    name: str,
    root: Path,
    overview: Overview,
    flagged: dict[str, str],
    anytime: pd.DataFrame | None = None,
) -> Group:
    """The whole page; `flagged` holds the flags of annotators who have any.

    `anytime` (`tables.ANYTIME`) is what the stopping rule lets be seen of the pairs, None: nothing.
    """
    parts: list[RenderableType] = [_title(name, overview)]
    if overview.reception.alarm:
        parts.append(Text(f"ALARM: {overview.reception.alarm}", style=ALARM))
    parts += [Text(""), _votes(overview), Text(""), _questions(overview), Text("")]
    parts.append(_figures(overview))
    if flagged:
        parts += [Text(""), _flagged(flagged)]
    if anytime is not None:
        parts += [Text(""), Text(f"Stopping rule anytime: {HOLDS}.")]
        parts += [Text(line) for line in anytime_lines(anytime)]
    if overview.is_complete:
        done = f"The planned votes are reached; the study may be analysed: evalkit analyze {root}"
        parts += [Text(""), Text(done, style="bold green")]
    return Group(*parts)


def _title(name: str, overview: Overview) -> Text:
    title = Text(name, style="bold")
    title.append(f"  {_clock(overview.at)} UTC", style="dim")
    if overview.vote_source:
        title.append(f"  {overview.vote_source}", style=ALARM)
    if overview.paused:
        since, reason = _clock(overview.paused["at"]), overview.paused["reason"]
        title.append(f"  paused since {since}: {reason}", style="bold yellow")
    return title


def _votes(overview: Overview) -> Group:
    """Given of planned, a bar, and when it will be done."""
    row = Table.grid(padding=(0, 2))
    share = overview.given / overview.planned if overview.planned else 0.0
    bar = ProgressBar(total=overview.planned or 1, completed=overview.given, width=30)
    row.add_row(f"{overview.given:,} of {overview.planned:,} planned votes", bar, f"{share:.0%}")
    if overview.is_complete:
        return Group(row)
    if overview.expected_end is None:
        return Group(row, Text("no planned vote in the last hour"))
    end = f"expected end {_clock(overview.expected_end)} UTC"
    return Group(row, Text(f"{overview.per_hour:,.0f} an hour; {end}"))


def _questions(overview: Overview) -> Table:
    rows = table(("question",), ("votes given", "planned", "pairs with all votes", "pairs"))
    for question in overview.questions:
        counts = (question.given, question.planned, question.complete_pairs, question.pairs)
        rows.add_row(question.question_id, *(f"{n:,}" for n in counts))
    return rows


def _figures(overview: Overview) -> Table:
    got = overview.reception
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style=HEAD)
    rows.add_row("annotators", _joined(overview.annotators))
    told = {"received": got.received, "kept": got.kept, "withdrawn": got.withdrawn}
    extra = {
        "simulated": got.simulated,
        "from before the journals": got.before_journals,
        "on the way": got.on_the_way,
    }
    rows.add_row("votes in all", _joined(told | {name: n for name, n in extra.items() if n}))
    rows.add_row("open trials", f"{overview.open_leases:,}")
    return rows


def _flagged(flagged: dict[str, str]) -> Table:
    rows = table(("annotators to look at", "flags"))
    for annotator_id, flags in flagged.items():
        rows.add_row(annotator_id, flags)
    return rows


def _joined(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}"
