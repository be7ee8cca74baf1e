"""What reached the browser in a scripted session: does any of it say whose image is whose?"""

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from evalkit.leaks.answer_keys import kinds_in, unknown_keys
from evalkit.leaks.finding import Finding, some
from evalkit.leaks.session import Recording
from evalkit.leaks.visitor import Exchange
from evalkit.leaks.words import Words, texts_within

SESSION_CHECKS = (
    "answers",
    "names of models",
    "ids",
    "hidden prompts",
    "image bytes",
    "image lengths",
    "image headers",
    "caching",
    "image addresses",
    "image times",
)
_MEND = "take it out of what the app sends"
_PICTURES = ("/study/image/", "/study/example/")
_VARYING = {"date", "content-length"}  # lengths are compared within each trial
_REMEMBERING = ("etag", "last-modified", "expires", "age")


def check_wire(
    recording: Recording, words: Words, public: Mapping[str, str], showing: Set[str]
) -> list[Finding]:
    """The findings of a recorded session.

    `public` maps the SHA-256 of public files to names; `showing` are the ids of the questions that
    show the prompt.
    """
    return [
        _answer_keys(recording),
        _telling_words(recording, words),
        _ids(recording, words),
        _hidden_prompts(recording, words, showing),
        _image_bytes(recording, public),
        _image_lengths(recording),
        _image_headers(recording),
        _caching(recording),
        _addresses(recording),
    ]


def image_exchanges(recording: Recording) -> list[Exchange]:
    """The images that came, in order."""
    answers = (e for e in recording.exchanges if e.path.startswith(_PICTURES))
    return [exchange for exchange in answers if exchange.status == 200]  # 429: asked too fast


def picture_sha256(body: bytes) -> str:
    """The SHA-256 of the public file within these bytes: a PNG does not end in zeros."""
    return hashlib.sha256(body.rstrip(b"\0")).hexdigest()


def _answer_keys(recording: Recording) -> Finding:
    name = "answers"
    answers = [(e.path, e.json) for e in recording.exchanges if e.method != "FRAME"]
    posted = [(path, answer) for path, answer in answers if path.startswith("/study/") and answer]
    for path, answer in posted:
        for key in unknown_keys(answer):
            return Finding(name, False, f'an answer has the unknown key "{key}"', path, _MEND)
        for kind in kinds_in(answer):
            return Finding(name, False, f'an answer says that a trial is "{kind}"', path, _MEND)
        voted = recording.trials.get(answer.get("vote", {}).get("trial_id"), {})
        if "feedback" in answer and not voted.get("practice", False):
            found = "the right side was told after a trial that is no practice"
            return Finding(name, False, found, path, _MEND)
    return Finding(name, True, f"{len(posted)} answers hold what they may and nothing else")


def _telling_words(recording: Recording, words: Words) -> Finding:
    name = "names of models"
    for exchange, text in _texts(recording):
        found = words.telling_in(text)
        if found:
            said = f"{some(found)} reached the browser"
            return Finding(name, False, said, _place(exchange), _MEND)
    kept = sorted(words.ordinary)
    note = f" ({some(kept)}: not looked for, any page has it)" if kept else ""
    return Finding(name, True, f"none of {len(words.telling)} words reached the browser{note}")


def _ids(recording: Recording, words: Words) -> Finding:
    name = "ids"
    for exchange, text in _texts(recording):
        found = words.ids_in(text)
        if found:
            said = f"{some(found)}, the id of an image, a pair or a file, reached the browser"
            return Finding(name, False, said, _place(exchange), _MEND)
    return Finding(name, True, f"none of {len(words.ids)} reached the browser")


def _hidden_prompts(recording: Recording, words: Words, showing: Set[str]) -> Finding:
    """Until the trial on the screen shows its prompt, no prompt at all may have come."""
    name = "hidden prompts"
    asked = [trial["question_id"] in showing for trial in recording.trials.values()]
    if asked != sorted(asked):
        found = "a question that hides the prompt comes after one that shows it"
        return Finding(name, False, found, "", "ask what hides the prompt first")
    for exchange, text in _texts(recording):
        trials = (exchange.json or {}).get("trials") if exchange.method == "POST" else None
        if trials and trials[0]["question_id"] in showing:
            break
        found = words.prompts_in(text)
        if found:
            said = f'the prompt "{found[0]}" reached the browser while a question hides it'
            return Finding(name, False, said, _place(exchange), _MEND)
    return Finding(name, True, "none came before the first question that shows its prompt")


def _image_bytes(recording: Recording, public: Mapping[str, str]) -> Finding:
    name = "image bytes"
    images = image_exchanges(recording)
    for exchange in images:
        if picture_sha256(exchange.body) not in public:
            found = "an image that was served is none of the public files with zeros after it"
            return Finding(name, False, found, _place(exchange), _MEND)
    return Finding(name, True, f"{len(images)} images: public files, and zeros after them")


def _image_lengths(recording: Recording) -> Finding:
    name = "image lengths"
    for path, sides in recording.images.items():
        lengths = sorted({exchange.length for exchange in sides.values()})
        if len(lengths) > 1:
            found = f"the two images of a trial have {lengths[0]} and {lengths[1]} bytes"
            return Finding(name, False, found, path, "pad both to one length")
    return Finding(name, True, f"one length in each of {len(recording.images)} trials")


def _image_headers(recording: Recording) -> Finding:
    name = "image headers"
    images = image_exchanges(recording)
    first = _steady(images[0]) if images else ()
    for exchange in images:
        told = _steady(exchange)
        if told != first:
            differing = sorted({header for header, _ in set(told) ^ set(first)})
            found = f"the header {some(differing)} differs between images"
            return Finding(name, False, found, _place(exchange), _MEND)
    return Finding(name, True, f"{len(first)} headers, the same for all images")


def _caching(recording: Recording) -> Finding:
    name = "caching"
    own = [e for e in recording.exchanges if e.path.startswith("/study/")]
    for exchange in own:
        told = dict(exchange.headers)
        if "no-store" not in told.get("cache-control", ""):
            found = "an answer may be stored by the browser"
            return Finding(name, False, found, _place(exchange), "send Cache-Control: no-store")
        for header in _REMEMBERING:
            if header in told:
                found = f"an answer has the header {header}, by which it is known again"
                return Finding(name, False, found, _place(exchange), _MEND)
    return Finding(name, True, f"none of {len(own)} answers may be stored")


def _addresses(recording: Recording) -> Finding:
    """An address is a trial and a side; nobody can follow an image over trials by it."""
    name = "image addresses"
    contents: dict[str, set[str]] = {}
    for exchange in image_exchanges(recording):
        contents.setdefault(exchange.path, set()).add(picture_sha256(exchange.body))
    for path, pictures in contents.items():
        if len(pictures) > 1:
            found = "one address gave different images"
            return Finding(name, False, found, path, "give every trial its own id")
    return Finding(name, True, f"{len(contents)} addresses, each of one trial and one side")


def _texts(recording: Recording) -> Iterator[tuple[Exchange, str]]:
    """All but images and Streamlit's own files: headers and body, as sent and as JSON means it."""
    shipped = _shipped_files()
    for exchange in recording.exchanges:
        headers = "\n".join(f"{name}: {value}" for name, value in _steady(exchange))
        is_picture = exchange.path.startswith(_PICTURES) and exchange.status == 200
        if is_picture or hashlib.sha256(exchange.body).hexdigest() in shipped:
            yield exchange, headers
        else:
            meant = texts_within(exchange.json)
            yield exchange, "\n".join([headers, exchange.body.decode("utf-8", "replace"), *meant])


def _shipped_files() -> frozenset[str]:
    """Hashes of what Streamlit ships to every page of every app."""
    static = Path(importlib.util.find_spec("streamlit").origin).parent / "static"
    files = (path for path in static.rglob("*") if path.is_file() and path.suffix != ".map")
    return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def _steady(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pair for pair in exchange.headers if pair[0] not in _VARYING))


def _place(exchange: Exchange) -> str:
    return f"{exchange.method} {exchange.path.partition('?')[0]}"
