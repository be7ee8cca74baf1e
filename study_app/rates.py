"""How fast one annotator may ask: token buckets in memory, generous for people."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST_BUCKETS = 20_000  # the longest unused ones go first


@dataclass(frozen=True)
class Rate:
    """`burst` requests at once, and `per_second` over time."""

    burst: int
    per_second: float


VOTES = Rate(burst=20, per_second=5)  # votes, and all else the page posts
IMAGES = Rate(burst=80, per_second=20)  # two for each trial, two trials ahead, and retries
NOTES = Rate(burst=10, per_second=0.2)  # each is kept for good in the log of the study
PAGES = Rate(burst=30, per_second=0.5)  # connections of the page, each of which takes memory
ENTRIES = Rate(burst=100, per_second=1)  # logins of a person, new places of a network
COMPLAINTS = Rate(burst=1, per_second=1 / 60)  # of one trouble, to who runs the server


class Buckets:
    """One bucket per name; safe to share between threads."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name: left, at

    def wait(self, name: str) -> int:
        """0 where the request may pass (it is counted), else the whole seconds to wait first."""
        rate, now = self._rate, self._clock()
        with self._lock:
            left, at = self._left.pop(name, (rate.burst, now))
            left = min(rate.burst, left + (now - at) * rate.per_second)
            passes = left >= 1
            self._left[name] = (left - passes, now)
            if len(self._left) > _MOST_BUCKETS:
                self._left.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - left) / rate.per_second))
