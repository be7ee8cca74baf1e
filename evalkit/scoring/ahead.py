"""Work done in threads a bounded number of items ahead of who takes the results."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    most: int,
    weigh: Callable[[Item], int] = lambda item: 1,
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in order, begun until those that wait weigh `most` or more.

    So memory does not grow with the number of items. An error of the function is raised where its
    item's turn comes; what is under way then is finished, the rest is not begun.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                while sum(weigh(one) for one, _ in waiting) >= most:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _first(waiting: deque[tuple[Item, "Future[Result]"]]) -> tuple[Item, Result]:
    item, future = waiting.popleft()
    return item, future.result()
