"""The prompts written for this project: balanced as they say, and nobody else's."""

import csv
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from evalkit.prompts import read_prompts
from evalkit.study_sections import PromptSource
from tests.reference import FOLDER, needs_reference

CATEGORIES = (
    "Abstract", "Animals", "Artifacts", "Arts", "Food & Beverage", "Illustrations",
    "Indoor Scenes", "Outdoor Scenes", "People", "Produce & Plants", "Vehicles", "World Knowledge",
)  # fmt: skip
CHALLENGES = (
    "Basic", "Complex", "Fine-grained Detail", "Imagination", "Linguistic Structures",
    "Perspective", "Properties & Positioning", "Quantity", "Simple Detail", "Style & Format",
    "Writing & Symbols",
)  # fmt: skip

SMALL = {"a", "an", "the", "of", "in", "on", "at", "to", "with", "and", "is", "it", "its"}


@pytest.fixture(scope="module")
def prompts():
    return read_prompts(PromptSource(source="general-100"), Path()).table


def words(text: str) -> list[str]:
    """The text's words in lower case, without marks."""
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def phrases(text: str, n: int = 4) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def is_near(one: str, other: str) -> bool:
    """Half of the words that carry meaning are in both, or half of the phrases of the shorter."""
    mine, theirs = (set(words(text)) - SMALL for text in (one, other))
    if len(mine & theirs) * 2 >= len(mine | theirs):
        return True
    fewer, more = sorted((phrases(one), phrases(other)), key=len)
    return len(fewer) > 1 and len(fewer & more) * 2 >= len(fewer)


def test_the_plan_crosses_categories_and_challenges(prompts):
    assert len(prompts) == 100
    for number, row in enumerate(prompts.itertuples()):
        assert row.prompt_id == f"general-{number + 1:03d}"
        assert row.category == CATEGORIES[number % 12]
        assert row.challenge == CHALLENGES[number % 11]
    cells = Counter(zip(prompts["category"], prompts["challenge"], strict=True))
    assert len(cells) == 100  # 12 and 11 have no common divisor: no cell comes twice before 132


@pytest.mark.parametrize("n", [12, 24, 48, 96, 100])
def test_the_first_are_balanced(prompts, n):
    for name, kinds in (("category", 12), ("challenge", 11)):
        counts = Counter(prompts[name].head(n))
        assert len(counts) == kinds
        assert set(counts.values()) <= {n // kinds, -(-n // kinds)}


def test_lengths_vary(prompts):
    lengths = prompts["prompt"].map(lambda text: len(text.split()))
    assert lengths.min() == 3
    assert 35 <= lengths.max() <= 45
    assert (lengths <= 8).sum() >= 15
    assert (lengths >= 25).sum() >= 15
    assert lengths[prompts["challenge"] == "Basic"].max() <= 4


def test_quoted_text_is_where_writing_is_asked(prompts):
    quoted = prompts["prompt"].str.contains('"')
    assert (prompts.loc[quoted, "challenge"] == "Writing & Symbols").all()
    assert not prompts["prompt"].str.contains(r"[^\x20-\x7e]").any()


def test_no_two_are_alike(prompts):
    for one, other in combinations(prompts["prompt"], 2):
        assert not is_near(one, other), (one, other)


@needs_reference
def test_none_is_of_a_published_set(prompts):
    folder = FOLDER / "prompts"
    with (folder / "PartiPrompts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    published = [row["Prompt"] for row in rows]
    lines = (folder / "geneval_metadata.jsonl").read_text("utf-8").splitlines()
    published += [json.loads(line)["prompt"] for line in lines]
    lines = (folder / "dpg_bench_prompts.tsv").read_text("utf-8").splitlines()[1:]
    published += [line.split("\t")[1] for line in lines]
    assert len(published) == 1632 + 553 + 1065
    assert is_near(published[0], "Bond!")
    assert is_near("a red cube on top of a blue sphere", "A red cube on top of a green sphere.")
    for text in prompts["prompt"]:
        for other in published:
            assert not is_near(text, other), (text, other)


def test_all_fit_into_clip(prompts):
    tokenizer = pytest.importorskip("open_clip").tokenizer.SimpleTokenizer()
    counts = [len(tokenizer.encode(text)) + 2 for text in prompts["prompt"]]  # with begin and end
    assert max(counts) <= 77
