"""The family's tokenizer: a byte-pair vocabulary in CLIP's layout, learned from captions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.training.examples import add_filler, english_words, training_scene

VOCABULARY_SIZE = 1500
POSITIONS = 40
CAPTIONS_READ = 20_000
WORD_WEIGHT = 60
START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(folder: Path) -> None:
    """Learn the vocabulary from training captions and common English words, and save it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    rng = np.random.default_rng(11)
    lines = [
        add_filler(write_caption(training_scene(i), rng), rng) for i in range(CAPTIONS_READ)
    ] + english_words() * WORD_WEIGHT
    bytes_alone = sorted(pre_tokenizers.ByteLevel.alphabet())
    draft = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    draft.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 2 - len(bytes_alone),
        end_of_word_suffix="</w>",
        initial_alphabet=bytes_alone,
        show_progress=False,
    )
    draft.train_from_iterator(lines, trainer)
    merges = [tuple(pair) for pair in json.loads(draft.to_str())["model"]["merges"]]
    words = bytes_alone + [f"{byte}</w>" for byte in bytes_alone] + ["".join(m) for m in merges]
    vocabulary = {word: i for i, word in enumerate([*dict.fromkeys(words), START, END])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    # Version 4 of transformers reads these two files instead of tokenizer.json.
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def load_tokenizer(folder: Path):
    """The saved tokenizer."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def tokenize(tokenizer, captions: list[str]) -> np.ndarray:
    """Token ids padded to the model's length, int16, shape (captions, 40)."""
    ids = tokenizer(
        captions, padding="max_length", truncation=True, max_length=POSITIONS, return_tensors="np"
    )["input_ids"]
    return ids.astype(np.int16)
