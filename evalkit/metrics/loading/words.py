"""A tokenizer that knows words: the library makes an empty one where its files are missing."""

from typing import Any

from evalkit.errors import ModelError


def require_words(tokenizer: Any, name: str) -> None:
    """ModelError where a tokenizer reads different words as the same."""
    one, other = (tokenizer(text)["input_ids"] for text in ("aaa eee", "eee aaa"))
    if one == other:
        raise ModelError(
            f'score: the weights "{name}" have no tokenizer, or one that knows no word; fetch its '
            "files (tokenizer.json, or vocab and merges) beside them"
        )
