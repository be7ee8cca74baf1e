"""How long the app takes for the images of each model: measured always, judged with enough."""

import numpy as np
import pandas as pd

from evalkit.leaks.finding import Finding
from evalkit.leaks.statistics import order_tell, telling
from evalkit.leaks.visitor import Exchange
from evalkit.leaks.wire import picture_sha256

ENOUGH = 20  # answers of each model; with fewer, one that was slow by chance would decide
MIN_DIFFERENCE_MS = 5.0  # of medians; networks and browsers hide less than that


def check_timing(
    images: list[Exchange], models: dict[str, str], seed: int, enough: int = ENOUGH
) -> Finding:
    """Whether one model's images come later; `models` maps the SHA-256 of public files to models.

    Told apart are models whose medians differ by MIN_DIFFERENCE_MS and whose ranks differ as
    `statistics.telling` says. Images that are not in `models` do not count.
    """
    name = "image times"
    found = [(models.get(picture_sha256(image.body)), 1000 * image.seconds) for image in images]
    frame = pd.DataFrame(found, columns=["model", "ms"]).dropna()
    times = frame.groupby("model")["ms"]
    medians, sizes = times.median(), times.size()
    told = ", ".join(
        f"{model} {medians[model]:.1f} ms (n = {sizes[model]})" for model in medians.index
    )
    if len(sizes) < 2 or sizes.min() < enough:
        return Finding(name, True, f"medians {told}; not judged: fewer than {enough} of a model")
    tell = order_tell(name, frame["ms"].to_numpy(), frame["model"].to_numpy(dtype=str), seed)
    apart = float(np.ptp(medians.to_numpy()))
    if telling([tell])[0] and apart >= MIN_DIFFERENCE_MS:
        remedy = "serve all images from memory, or with the same work for each"
        return Finding(name, False, f"medians {told} (p = {tell.p_value:.2g})", "", remedy)
    return Finding(name, True, f"medians {told}")
