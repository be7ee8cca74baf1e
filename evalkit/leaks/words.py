"""Words that would tell an annotator which model made an image, and how they are looked for."""

import importlib.util
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit import texts
from evalkit.study import Study

_PART = re.compile(r"[^\W_]+")
_HEX = re.compile(r"[0-9a-f]{16,}")  # no id is shorter
_LEAST_LETTERS = 4  # of a part of a name: shorter ones stand in too many other words
_LEAST_DIGITS = 5  # of a seed


@dataclass(frozen=True)
class Words:
    """`telling` is looked for as whole words in any case, `ids` within runs of hex digits.

    `ordinary` are telling words that cannot be looked for, since the page's own files, its texts or
    the study's prompts and questions hold them anyway. `prompts` are those that can be looked for.
    """

    telling: frozenset[str]
    ordinary: frozenset[str]
    ids: frozenset[str]
    prompts: frozenset[str]

    def telling_in(self, text: str) -> list[str]:
        """The telling words that stand in the text, in order of the alphabet."""
        found = {match.group(0).lower() for match in self._pattern.finditer(text)}
        return sorted(found) if self.telling else []

    def ids_in(self, text: str) -> list[str]:
        """The ids that stand in the text, also within longer runs of hex digits."""
        found: set[str] = set()
        for run in _HEX.findall(text.lower()):
            for size in self._sizes:
                found |= self.ids & {run[k : k + size] for k in range(len(run) - size + 1)}
        return sorted(found)

    def prompts_in(self, text: str) -> list[str]:
        """The prompts that stand in the text."""
        return sorted(prompt for prompt in self.prompts if _stands(prompt, text))

    @cached_property
    def _sizes(self) -> set[int]:
        return {len(name) for name in self.ids}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.telling, key=lambda word: (-len(word), word))
        either = "|".join(map(re.escape, longest_first))
        return re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)


def words_of(study: Study, prompts: pd.DataFrame, key: pd.DataFrame, stored: pd.DataFrame) -> Words:
    """The words of this study; `key` is that of its public images, `stored` its blinded pairs."""
    page = _page_material()
    asked = [study.session.consent, study.session.instructions, *texts_within(study.own_texts)]
    asked += [text for question in study.questions for text in (question.id, question.text)]
    shown = prompts["prompt"].tolist()
    known = "\n".join([page, *asked, *shown]).lower()
    wanted = _of_models(study) | _of_seeds(study) | set(stored["matchup"]) - {"check"}
    telling = frozenset(word for word in wanted if not _stands(word, known))
    without_prompts = "\n".join([page, *asked])
    return Words(
        telling=telling,
        ordinary=frozenset(wanted - telling),
        ids=frozenset(
            {*key["image_id"], *(name[:-4] for name in key["file"]), *key["sha256"]}
            | set(stored["pair_id"])
        ),
        prompts=frozenset(prompt for prompt in shown if not _stands(prompt, without_prompts)),
    )


def texts_within(value: Any) -> Iterable[str]:
    """All texts within tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_within(item)


def _of_models(study: Study) -> set[str]:
    """Names, catalogue entries and repositories of the models, whole and in parts; what they are
    made from (a folder, a function, a command) as a whole."""
    named, sources = set(), set()
    for model in study.models:
        repositories = [getattr(model, name) for name in model.REPOSITORIES]
        named |= {str(text) for text in (model.name, model.catalogue, *repositories) if text}
        sources.add(str(getattr(model, model.KEY)))
    parts = {part for text in named for part in _PART.findall(text)}
    long = {part for part in parts if len(part) >= _LEAST_LETTERS and not part.isdigit()}
    return {word.lower() for word in named | sources | long}


def _of_seeds(study: Study) -> set[str]:
    seeds = {str(study.seed), *map(str, study.images.seeds)}
    return {seed for seed in seeds if len(seed) >= _LEAST_DIGITS}


def _page_material() -> str:
    """The files of the page and its texts, as they are shipped: the same for every study."""
    package = Path(importlib.util.find_spec("study_app").origin).parent
    files = [path for path in sorted(package.rglob("*")) if path.suffix in _READABLE]
    shipped = sorted(Path(texts.__file__).parent.glob("*.toml"))
    read = (tomllib.loads(path.read_text("utf-8")) for path in shipped)
    told = [text for language in read for text in texts_within(language)]
    return "\n".join([*(path.read_text("utf-8") for path in files), *told])


_READABLE = (".js", ".css", ".html", ".svg", ".py")


def _stands(word: str, text: str) -> bool:
    """Whether the word stands in the text with no letter or digit beside it, in any case."""
    pattern = rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
    return re.search(pattern, text, re.IGNORECASE) is not None
