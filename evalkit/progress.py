"""The progress bar of the commands that take a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.console import Console

Progress = Callable[[int, int, str], None]  # done, in all, what is at work


def no_progress(done: int, total: int, label: str) -> None:
    """For who does not watch."""


@contextmanager
def progress_bar(unit: str, in_pipe: bool = True) -> Iterator[Progress]:
    """A bar with `unit` per second and time left; yields the callback (done, total, label).

    It goes to stderr and, where that is no terminal, stays silent until its last state; without
    `in_pipe` to the end.
    """
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=Console(stderr=True))
    first: list[tuple[float, int]] = []

    def show(done: int, total: int, label: str) -> None:
        if not (in_pipe or bar.console.is_terminal):
            return
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
