"""What single choices bring on the CPU: PNG levels, memory layout of convolutions, batch sizes.

`python -m benchmarks.kernels PART ROUNDS` prints the tables of a part, `png` or `kernels`.
"""

import io
import sys
import time
from collections.abc import Callable
from itertools import count, islice
from statistics import median

import numpy as np
import torch
from PIL import Image

from evalkit.models import resolve
from evalkit.pipelines import Request, load_pipeline

_CALLS = 15
_SIZES = (8, 16, 32)  # images per call


def main(part: str, rounds: int) -> None:
    """Print the tables of a part."""
    lines = compression() if part == "png" else [*layout(), "", *batch_sizes(rounds)]
    print("\n".join(lines))


def compression() -> list[str]:
    """Time and size of a PNG at level 1 and at Pillow's own, as lines of Markdown."""
    lines = [
        "### PNG",
        "",
        f"One core, median of {_CALLS}. The large image is smooth noise, with grain as a "
        "photograph has it.",
        "",
        "| image | level 1 | level 6 (Pillow's own) |",
        "|---|---|---|",
    ]
    pipeline = load_pipeline(resolve("scenes-base", {}, "benchmark"), "cpu")
    [scene] = pipeline.render([Request("p", "a red house under a yellow sun", 0)])
    pipeline.close()
    for name, image in [("scenes, 96x96", scene.image), ("512x512", _photograph())]:
        cells = []
        for level in (1, 6):
            seconds = _seconds(lambda image=image, level=level: _png(image, level))
            cells.append(f"{seconds * 1000:.1f} ms, {len(_png(image, level)) / 1024:.0f} KiB")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def layout() -> list[str]:
    """Convolutions with their channels first and last, as lines of Markdown."""
    lines = [
        "### Channels last",
        "",
        f"{torch.get_num_threads()} threads, ms of one call, median of {_CALLS}.",
        "",
        "| part of scenes-base | batch | contiguous | channels last |",
        "|---|---|---|---|",
    ]
    pipeline = load_pipeline(resolve("scenes-base", {}, "benchmark"), "cpu")
    library = pipeline.library
    text = torch.randn(
        1, library.tokenizer.model_max_length, library.unet.config.cross_attention_dim
    )
    for batch in (1, 8):
        latents = torch.randn(batch, 12, 12, 12)
        states = text.expand(batch, -1, -1)
        calls = {
            "UNet": lambda latents=latents, states=states: library.unet(latents, 500, states),
            "decoder": lambda latents=latents: library.vae.decode(latents),
        }
        found: dict[str, list[str]] = {name: [] for name in calls}
        for layout in (torch.contiguous_format, torch.channels_last):
            library.unet.to(memory_format=layout)
            library.vae.to(memory_format=layout)
            for name, call in calls.items():
                found[name].append(f"{_seconds(torch.no_grad()(call)) * 1000:.1f}")
        lines += [f"| {name} | {batch} | {' | '.join(cells)} |" for name, cells in found.items()]
    pipeline.close()
    return lines


def batch_sizes(rounds: int) -> list[str]:
    """Seconds per image by images per call, as lines of Markdown."""
    pipeline = load_pipeline(resolve("scenes-base", {}, "benchmark"), "cpu")
    found: dict[int, list[float]] = {size: [] for size in _SIZES}
    numbers = count()
    for number in range(rounds + 1):
        for size, seconds in found.items():
            asked = [Request(f"p{k}", f"{k} red houses", k) for k in islice(numbers, size)]
            started = time.perf_counter()
            pipeline.render(asked)
            if number:  # the first round warms up
                seconds.append((time.perf_counter() - started) / size)
    pipeline.close()
    rows = [
        f"| {size} | {median(each):.3f} ({min(each):.3f} to {max(each):.3f}) |"
        for size, each in found.items()
    ]
    return [
        "### Batch sizes",
        "",
        f"scenes-base, {torch.get_num_threads()} threads: seconds per image of a whole call, "
        f"median of {rounds} interleaved rounds (fastest to slowest), after one that warms up.",
        "",
        "| images per call | seconds per image |",
        "|---|---|",
        *rows,
    ]


def _photograph() -> Image.Image:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    pixels = np.asarray(smooth.resize((512, 512), Image.Resampling.BICUBIC), dtype=float)
    grain = rng.normal(0, 3, pixels.shape)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


def _png(image: Image.Image, level: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=level)
    return stream.getvalue()


def _seconds(call: Callable[[], object]) -> float:
    call()
    found = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return median(found)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
