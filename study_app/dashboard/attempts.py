"""Wrong passwords make the next try wait: 1 s, 2 s, 4 s, ... up to a minute, per address."""

import time
from collections import OrderedDict
from collections.abc import Callable

_LONGEST = 60.0  # s
_FORGOTTEN = 900.0  # s after which a wrong try counts no more
_MOST_ADDRESSES = 10_000  # the oldest go first


class Attempts:
    """Wrong tries by the address they came from; not shared between processes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # tries, last one at

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 where it may now."""
        tries, at = self._failed.get(address, (0, 0.0))
        if tries == 0:
            return 0.0
        return max(0.0, at + min(_LONGEST, 2.0 ** (tries - 1)) - self._clock())

    def failed(self, address: str) -> None:
        """Count a wrong try."""
        now = self._clock()
        tries, at = self._failed.pop(address, (0, now))
        self._failed[address] = (tries + 1 if now - at < _FORGOTTEN else 1, now)
        if len(self._failed) > _MOST_ADDRESSES:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the wrong tries of this address."""
        self._failed.pop(address, None)
