"""Prompts: a set read from its source and checked row by row; the study's draw from it."""

from evalkit.prompts.drawing import draw_prompts
from evalkit.prompts.input_images import InputImages, copy_input_images, find_input_images
from evalkit.prompts.prompt_set import PromptSet, in_short, read_prompts
from evalkit.prompts.source import builtin_sets

__all__ = [
    "InputImages",
    "PromptSet",
    "builtin_sets",
    "copy_input_images",
    "draw_prompts",
    "find_input_images",
    "in_short",
    "read_prompts",
]
