"""The progress bar of the commands that take a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar with `unit` per second and time left; yields the callback (done, total, label).

    It goes to stderr and, where that is no terminal, stays silent until its last state.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    first: list[tuple[float, int]] = []

    def show(done: int, total: int, label: str) -> None:
        now = bar.get_time()
        if not first:  # nothing is drawn before there is something to show
            first.append((now, done))
            bar.start()
            bar.add_task("", total=None, rate="")
        started, already = first[0]
        rate = f"{(done - already) / (now - started):.1f} {unit}/s" if now > started else ""
        bar.update(bar.task_ids[0], completed=done, total=total, description=label, rate=rate)

    try:
        yield show
    finally:
        if first:
            bar.stop()
