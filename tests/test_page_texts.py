"""The texts of the page: every language has all of them, with the same words to fill in."""

import re

import pytest

from evalkit.errors import StudyError
from evalkit.texts import languages, page_texts, read_own_texts

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


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ('[part]\nheading = "Teil {prat}"',
         'part.heading: unknown {prat}; allowed are {part}, {parts}; did you mean "{part}"?'),
        ('[block]\ntext = "{ block } is done"',
         "block.text: unknown { block }; this text has none"),
        ('[part]\nheading = "Teil {}"', "part.heading: unknown {}; allowed are {part}, {parts}"),
    ],
)  # fmt: skip
def test_a_word_in_braces_that_the_page_does_not_fill_in_is_a_mistake(tmp_path, own, message):
    file = tmp_path / "texts.toml"
    file.write_text(own)
    with pytest.raises(StudyError) as caught:
        read_own_texts("en", file.name, tmp_path / "study.toml")
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_own_texts_need_not_use_all_words_that_are_filled_in(tmp_path):
    (tmp_path / "texts.toml").write_text('[part]\nheading = "Part {part}, {part}!"')
    own = read_own_texts("en", "texts.toml", tmp_path / "study.toml")
    assert own == {"part": {"heading": "Part {part}, {part}!"}}
