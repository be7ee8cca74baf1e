"""Draws the contact sheet: one row per prompt, one column per model and step count."""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 144
GAP = 6
LABEL_WIDTH = 190
HEADER = 40
ROWS = 9
COLUMNS = (
    "scenes-base, 25 steps",
    "scenes-lcm, 4 steps",
    "scenes-turbo, 1 step",
    "scenes-turbo, 4 steps",
)


def draw_sheet(prompts: list[str], images: dict[str, list[Image.Image]], path: Path) -> None:
    """Write the first prompts' images, enlarged, with prompts at the left and models on top."""
    columns = [name for name in COLUMNS if name in images]
    rows = min(ROWS, len(prompts))
    size = (LABEL_WIDTH + len(columns) * (SIDE + GAP), HEADER + rows * (SIDE + GAP))
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for column, name in enumerate(columns):
        model, steps = name.split(", ")
        left = LABEL_WIDTH + column * (SIDE + GAP)
        pen.text((left, 2), f"{model}\n{steps}", fill="black", font=font)
        for row in range(rows):
            image = images[name][row].resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(image, (left, HEADER + row * (SIDE + GAP)))
    for row in range(rows):
        text = "\n".join(textwrap.wrap(prompts[row], 25))
        pen.text((4, HEADER + row * (SIDE + GAP) + 30), text, fill="black", font=font)
    sheet.save(path, optimize=True)
