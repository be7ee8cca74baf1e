"""The texts of the page: every language has all of them, with the same words to fill in."""

import re

import pytest

from evalkit.texts import languages, page_texts

ENGLISH = page_texts("en", {})


def flat(texts, within=""):
    """Each text by its full name."""
    for name, value in texts.items():
        if isinstance(value, dict):
            yield from flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


@pytest.mark.parametrize("language", languages())
def test_every_language_has_every_text(language):
    texts, english = dict(flat(page_texts(language, {}))), dict(flat(ENGLISH))
    assert list(texts) == list(english)
    assert texts["language"] == language
    for name, text in texts.items():
        assert text.strip() == text != "", name
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", english[name])), name


def test_german_is_shipped_and_is_not_english():
    german, english = dict(flat(page_texts("de", {}))), dict(flat(ENGLISH))
    same = [name for name, text in german.items() if text == english[name]]
    assert same == ["keys.Backspace"]
