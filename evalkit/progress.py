"""The progress bar of the commands that take a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar with `unit`s per second and time left; yields the callback (done, total, label).

    It goes to stderr and, where that is no terminal, stays silent until its last state.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, rate="")
        first: list[tuple[float, int]] = []

        def show(done: int, total: int, label: str) -> None:
            now = bar.get_time()
            if not first:
                first.append((now, done))
            started, already = first[0]
            rate = f"{(done - already) / (now - started):.1f} {unit}/s" if now > started else ""
            bar.update(task, completed=done, total=total, description=label, rate=rate)

        yield show
