"""Writes the card's numbers as a page that people read."""

from __future__ import annotations

from pathlib import Path

PAGE = """# Card of the built-in models

Three text-to-image models of 2.5 million parameters and 96x96 pixels, trained from nothing on two
CPU cores, on scenes that this package draws itself. They make one or two coloured shapes on a
background and nothing else. They exist so that a study can be run, tested and taught without a
download; they say nothing about any other model.

![One row per prompt, one column per model](contact-sheet.png)

## Models

- `scenes-base`: the teacher. 25 steps of DDIM, guidance 4.
- `scenes-lcm`: consistency-distilled from it (Luo et al. 2023). 4 steps, guidance as an input.
- `scenes-turbo`: distilled from the teacher's scores against a feature discriminator
  (Sauer et al. 2023, 2024), started from `scenes-lcm`. 1 to 4 steps, guidance 0.
- `scenes-clip`: a small CLIP of open_clip's class, trained on renders and captions of all pairs.
- `scenes-attributes.safetensors`: the classifier that measured the table below.

No model was worsened on purpose.

## What they get right

{n} prompts that training never saw, half of them with a colour-shape pair held out of training;
one image each. Share of attributes right (a shape and a colour per object, the number of objects,
the relation), read by the attribute classifier; `every` is the share of prompts with all of them
right. Intervals are 95% Wilson intervals that count prompts, not attributes. `CLIP` is a second
witness: the share of images for which `scenes-clip` scores the own prompt above one with a single
attribute changed. Seconds are CPU-seconds on one core, for one image alone.

{accuracy}

| model, steps | seen pairs: all | every | held-out pairs: all | every |
|---|---|---|---|---|
{challenges}

## What the measures are worth

On {renders} renders that no network was trained on, half of them with a held-out pair: the
classifier reads {classifier:.3f} of the attributes right; after the renders have gone through the
codec, {classifier_after_codec:.3f}, which bounds what the models can reach. Codec:
{codec_decibels:.1f} dB. `scenes-clip` scores the true caption above one with a single attribute
changed for {clip_prefers_true_caption:.3f} of the renders (chance .5); an image model cannot be
expected to do better than the renders do.

## Data

Scenes of six shapes (circle, square, star, heart, house, tree), eight colours, two sizes, four
relations and six backgrounds; 62% have two objects; captions in several phrasings, some without
size or background, some with stray English words. Eight colour-shape pairs and one scene in ten
are never shown to the models. Classifier and CLIP, which judge, are trained on all pairs.

## Recipe

Latents are 12 PCA components of 8x8 patches; only the decoder is learned. The text encoder first
learns to name what a caption shows, then trains on with the UNet (v-prediction, caption dropped
one time in ten, Muon and AdamW, averaged weights). Both students keep text encoder and decoder.
While the CLIP learns, two linear heads, dropped afterwards, also name the attributes from its
embeddings.

While they learned, the teacher's budget was cut from 800,000 samples to 600,000 and that of
`scenes-lcm` from 110,000 to 84,000, so their rates fell a little later than in a fresh run, which
will give other weights. Trials that were dropped (two optimizer settings, an earlier drawing of the
backgrounds, an earlier CLIP) took about 2,800 CPU-seconds more than the table shows.

| stage | CPU-seconds | training samples |
|---|---|---|
{costs}

`python -m evalkit.models.scenes.training --work DIR` does it all again and resumes after a stop;
`--samples N` sets how long the teacher learns.

## Limits

- Words outside the grammar do nothing useful.
- Attribute accuracy is near its ceiling for all of them: they differ in outlines, detail and
  variety rather than in what is shown.
- Stars, tufts of grass and other fine detail are coarse: the codec keeps little of them.
- Outlines waver and small shapes can be malformed. The classifier must choose among six shapes,
  so a malformed shape that leans the right way counts as right; people may judge otherwise.
- One training run, one seed: differences between runs are unknown.

## Sizes

| part | MB |
|---|---|
{sizes}
"""


def write_page(card: dict, path: Path) -> None:
    """Write the page for a card as `card.json` holds it."""
    text = PAGE.format(
        n=card["prompts"]["n"],
        accuracy=_accuracy_table(card["models"]),
        challenges="\n".join(_challenge_row(row) for row in card["models"]),
        costs="\n".join(_cost_row(name, cost) for name, cost in card["costs"].items()),
        sizes="\n".join(f"| {name} | {size:.2f} |" for name, size in card["megabytes"].items()),
        **card["witnesses"],
    )
    path.write_text(text, encoding="utf-8")


def row_name(row: dict) -> str:
    """Model and steps, as the tables name them."""
    return f"{row['model']}, {row['steps']}"


def _accuracy_table(rows: list[dict]) -> str:
    lines = [
        "| model, steps | all | shape | colour | count | relation | every | CLIP | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_with_interval(row["all"])]
        cells += [f"{row[kind]['estimate']:.3f}" for kind in ("shape", "colour", "count")]
        cells += [f"{row['relation']['estimate']:.3f}", _with_interval(row["every"])]
        cells.append(f"{row['clip_prefers_own_prompt']:.3f}")
        cells.append(f"{row['cpu_seconds_per_image']:.3f}")
        lines.append(f"| {row_name(row)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _challenge_row(row: dict) -> str:
    cells = [
        f"{row[challenge][kind]['estimate']:.3f}"
        for challenge in ("seen", "held_out")
        for kind in ("all", "every")
    ]
    return f"| {row_name(row)} | {' | '.join(cells)} |"


def _with_interval(estimate: dict) -> str:
    return f"{estimate['estimate']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _cost_row(name: str, cost: dict) -> str:
    samples = cost.get("samples")
    return f"| {name} | {cost['cpu_seconds']:,} | {'' if samples is None else f'{samples:,}'} |"
