"""Simulated annotators who speak HTTP as the page does: outbox, resend until acknowledged, undo.

Each has connections and a cookie of its own, and writes down what was pressed, what was
acknowledged, how long that took, and every answer that is not as it should be.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from evalkit.collection import invite
from evalkit.study_folder import StudyFolder

WINDOW = {
    "viewport_width": 1280,
    "viewport_height": 720,
    "screen_width": 1920,
    "screen_height": 1080,
    "pixel_ratio": 1.0,
}
CLOSED = 425, 429, 500, 502, 503, 504  # not stored, or not known to be: sent again
HEADERS = {"Content-Type": "application/json", "X-Evalkit": "1"}
NO_ANSWER = "no answer"  # the connection broke, or was refused


@dataclass(frozen=True)
class Press:
    """A vote as it was pressed; `at` is in seconds of time.perf_counter."""

    trial_id: str
    choice: str
    revision: int
    response_ms: int
    at: float


@dataclass(frozen=True)
class Habits:
    """How an annotator works.

    `seconds` pass from one press to the next on average, at least half and at most one and a half
    of them. `undo` is the chance that a choice is corrected. `images` fetches both images of each
    trial ahead, as the page does; `socket` holds the page's websocket. `retry_seconds` pass before
    what was not acknowledged is sent again.
    """

    seconds: float = 4.0
    undo: float = 0.0
    images: bool = True
    socket: bool = False
    retry_seconds: float = 0.5


@dataclass
class Record:
    """What one annotator did and met.

    `acknowledged` maps (trial_id, revision) to the choice that the app said it keeps. `waits` and
    `image_waits` have (when it was asked for, seconds until it was there), the first from the press
    to the acknowledgement; `image_bytes` is the sum over all images; `faults` counts answers that
    are not as they should be.
    """

    pressed: list[Press] = field(default_factory=list)
    acknowledged: dict[tuple[str, int], str] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    image_waits: list[tuple[float, float]] = field(default_factory=list)
    image_bytes: int = 0
    faults: Counter = field(default_factory=Counter)
    finished: bool = False


class Annotator:
    """One annotator at `url`, who came by `token`; `address` is the one that the proxy names."""

    def __init__(self, url: str, token: str, address: str, habits: Habits, seed: int) -> None:
        self.url, self.token, self.habits = url, token, habits
        self.record = Record()
        self._rng = random.Random(seed)
        self._headers = {"X-Forwarded-For": address}
        self._session_id = ""
        self._open: deque[dict[str, Any]] = deque()  # trials to show, the first one next
        self._shown: set[str] = set()
        self._outbox: deque[Press] = deque()
        self._images: dict[str, asyncio.Task] = {}
        self._changed = asyncio.Event()

    async def sit(self, stop: asyncio.Event, start_after: float = 0.0) -> None:
        """Come in, vote until `stop` or the end, and leave when all is acknowledged."""
        timeout = aiohttp.ClientTimeout(total=30)
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address without a name, too
        async with aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, cookie_jar=jar,
            connector=aiohttp.TCPConnector(limit=6),  # as many as a browser has for one host
        ) as self._client:  # fmt: skip
            await asyncio.sleep(start_after)
            await self._enter()
            async with self._socket():
                sender = asyncio.create_task(self._send())
                await self._vote(stop)
                self._outbox.append(None)
                self._changed.set()
                await sender
            for task in self._images.values():
                task.cancel()

    async def _enter(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                query = {"token": self.token}
                async with self._client.get(
                    f"{self.url}/", params=query, allow_redirects=False
                ) as answer:
                    if answer.status == 303:
                        break
                    self.record.faults[f"GET / {answer.status}"] += 1
            await asyncio.sleep(self.habits.retry_seconds)
        state = await self._post("session", WINDOW)
        self._session_id = state["session_id"]
        if state["stage"] == "consent":
            version = state["consent"]["version"]
            state = await self._post("consent", {**self._named(), "version": version})
        if state["stage"] == "instructions":
            state = await self._post("instructed", self._named())
        self._take(state)

    async def _vote(self, stop: asyncio.Event) -> None:
        """Press until told to stop, or until no trial is left."""
        due = time.perf_counter() + self._pause()
        while not stop.is_set():
            trial = await self._next(stop)
            if trial is None:
                return
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if stop.is_set():
                return
            due = max(due, time.perf_counter() - self.habits.seconds) + self._pause()
            self._press(trial, 1)
            while self._rng.random() < self.habits.undo:
                await asyncio.sleep(min(0.1, self.habits.seconds / 4))
                self._press(trial, self.record.pressed[-1].revision + 1)

    async def _next(self, stop: asyncio.Event) -> dict[str, Any] | None:
        """The next trial with both of its images here; None at the end."""
        while not self._open:
            if self.record.finished or stop.is_set():
                return None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.5)
        trial = self._open.popleft()
        self._shown.add(trial["trial_id"])
        images = self._images.pop(trial["trial_id"], None)
        if images is not None:
            await images
        return trial

    def _press(self, trial: Mapping[str, Any], revision: int) -> None:
        press = Press(
            trial["trial_id"], self._rng.choice(trial["choices"]), revision,
            int(1000 * self.habits.seconds) + 500, time.perf_counter(),
        )  # fmt: skip
        self.record.pressed.append(press)
        self._outbox.append(press)
        self._changed.set()

    async def _send(self) -> None:
        """The outbox, one after the other, each until it is acknowledged; None ends it."""
        while True:
            while not self._outbox:
                self._changed.clear()
                await self._changed.wait()
            press = self._outbox[0]
            if press is None:
                return
            body = {
                "trial_id": press.trial_id,
                "choice": press.choice,
                "response_ms": press.response_ms,
                "revision": press.revision,
                "reason": "",
            }
            state = await self._post("vote", {**self._named(), **body})
            self._outbox.popleft()
            if state is None:  # refused for good; the page asks for trials anew
                self._take(await self._post("trials", self._named()) or {})
                continue
            self.record.waits.append((press.at, time.perf_counter() - press.at))
            vote = state["vote"]
            self.record.acknowledged[vote["trial_id"], vote["revision"]] = vote["choice"]
            if vote["revision"] != press.revision:
                self.record.faults["acknowledged another revision"] += 1
            self._take(state)

    async def _post(self, name: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer, sent again until there is one; None where it is refused for good."""
        while True:
            wait = self.habits.retry_seconds
            try:
                async with self._client.post(
                    f"{self.url}/study/{name}", json=body, headers=HEADERS
                ) as answer:
                    if answer.status == 200:
                        return await answer.json()
                    self.record.faults[f"POST {name} {answer.status}"] += 1
                    if answer.status not in CLOSED:
                        return None
                    wait = float(answer.headers.get("Retry-After", wait))
            except (aiohttp.ClientError, TimeoutError):
                self.record.faults[NO_ANSWER] += 1
            await asyncio.sleep(wait)

    def _take(self, state: Mapping[str, Any]) -> None:
        """The trials of a state that were not shown yet; the images ahead are fetched."""
        if state.get("stage") in ("done", "wait", "full"):  # nothing is left, or nothing free now
            self.record.finished = True
        elif state.get("stage") != "vote":
            self.record.faults[f"stage {state.get('stage')}"] += 1
        fresh = [one for one in state.get("trials", ()) if one["trial_id"] not in self._shown]
        self._open = deque(fresh)
        for trial in fresh if self.habits.images else ():
            name = trial["trial_id"]
            if name not in self._images:
                self._images[name] = asyncio.create_task(self._fetch(name))
        self._changed.set()

    async def _fetch(self, trial_id: str) -> None:
        await asyncio.gather(*(self._image(f"{trial_id}/{side}") for side in ("left", "right")))

    async def _image(self, name: str) -> None:
        while True:
            begun = time.perf_counter()
            try:
                async with self._client.get(f"{self.url}/study/image/{name}") as answer:
                    content = await answer.read()
                    if answer.status == 200:
                        self.record.image_waits.append((begun, time.perf_counter() - begun))
                        self.record.image_bytes += len(content)
                        return
                    self.record.faults[f"GET image {answer.status}"] += 1
                    if answer.status not in CLOSED:
                        return
            except (aiohttp.ClientError, TimeoutError):
                self.record.faults[NO_ANSWER] += 1
            await asyncio.sleep(self.habits.retry_seconds)

    @contextlib.asynccontextmanager
    async def _socket(self) -> AsyncIterator[None]:
        """The page's websocket, with its script run once, for as long as the annotator sits."""
        if not self.habits.socket:
            yield
            return
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        headers = {"Origin": self.url}
        async with self._client.ws_connect(
            address, protocols=("streamlit",), headers=headers, max_msg_size=0
        ) as socket:
            await socket.send_bytes(RERUN)
            listening = asyncio.create_task(self._listen(socket))
            try:
                yield
            finally:
                listening.cancel()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for _ in socket:
            pass
        self.record.faults["websocket closed"] += 1

    def _named(self) -> dict[str, str]:
        return {"session_id": self._session_id}

    def _pause(self) -> float:
        return self.habits.seconds * self._rng.uniform(0.5, 1.5)


def _rerun() -> bytes:
    from streamlit.proto.BackMsg_pb2 import BackMsg

    message = BackMsg()
    message.rerun_script.query_string = ""
    return message.SerializeToString()


RERUN = _rerun()  # what a page sends when it opens


def crowd(
    folder: StudyFolder, n: int, urls: Sequence[str], habits: Habits, now: str, seed: int
) -> list[Annotator]:
    """`n` newly invited annotators, in turn at these addresses of the app."""
    links = invite(folder, n, now, "http://localhost")
    return [
        Annotator(
            urls[number % len(urls)],
            token=link.partition("token=")[2],
            address=f"10.0.{number // 250}.{number % 250 + 1}",
            habits=habits,
            seed=seed + number,
        )
        for number, link in enumerate(links)
    ]
