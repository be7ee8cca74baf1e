"""LPIPS diversity: the mean perceptual distance of the images of a prompt, over pairs of seeds.

LPIPS 0.1 with AlexNet on images at their own size. 0 where all images are the same; about 0.7 for
images that share nothing. Diversity is no quality: noise is diverse. Source: Zhang et al. 2018.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.released import identify_released, locate_released
from evalkit.metrics.loading.tensors import device_of, read_tensors, ready
from evalkit.metrics.registry import Card
from evalkit.study import Study

DEFAULT = "lpips-0.1-alex"
LEAST_PIXELS = 31  # a side of fewer is gone before AlexNet's third layer
CARD = Card(
    kind="spread",
    weights=DEFAULT,
    licence="BSD-2-Clause (LPIPS), BSD-3-Clause (torchvision's AlexNet)",
    range="0 upwards",
    source="Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features",
)


def identify(weights: str | None, study: Study) -> str:
    """The name of these weights in the table."""
    return identify_released(weights, DEFAULT)


def load(weights: str | None, study: Study, device: str | None = None) -> "LpipsDiversity":
    """The metric with its weights: None, `lpips-0.1-alex`, or a file of torchvision's AlexNet.

    The linear layers come with the package lpips. Runs in float32, on the first CUDA device where
    no device is named and there is one. Raises ModelError, one sentence.
    """
    for package in ("torch", "torchvision", "lpips"):
        require_package(package, "lpips_diversity")
    from torchvision.models import AlexNet_Weights

    place = locate_released(weights, DEFAULT, AlexNet_Weights.IMAGENET1K_V1.url)
    tensors = read_tensors(place)
    with loading(place.name):
        return LpipsDiversity(ready(_network(tensors), device), place.name)


class LpipsDiversity:
    """The mean of LPIPS over all pairs of a prompt's images."""

    batch_size = 8  # pairs at once

    def __init__(self, network: Any, weights: str):
        self.weights = weights
        self._network = network

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The image as LPIPS takes it (3 x height x width, float32, -1 to 1)."""
        if min(image.size) < LEAST_PIXELS:
            raise ModelError(
                f"score: lpips_diversity: an image of {image.width} x {image.height} pixels; "
                f"allowed are {LEAST_PIXELS} or more a side; make larger images"
            )
        return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1

    def spread(self, prepared: Sequence[np.ndarray]) -> float:
        """The mean LPIPS over all pairs of two or more images of one size."""
        import torch

        sizes = sorted({f"{image.shape[2]} x {image.shape[1]}" for image in prepared})
        if len(sizes) > 1:
            raise ModelError(
                f"score: lpips_diversity: images of one prompt and model of {' and '.join(sizes)} "
                "pixels; allowed is one size; make them anew with one size"
            )
        images = torch.from_numpy(np.stack(prepared)).to(device_of(self._network))
        pairs = list(combinations(range(len(images)), 2))
        distances: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(pairs), self.batch_size):
                left, right = zip(*pairs[start : start + self.batch_size], strict=True)
                both = self._network(images[list(left)], images[list(right)])
                distances += both.flatten().double().tolist()
        return float(np.mean(distances))


def _network(tensors: dict[str, Any]) -> Any:
    """LPIPS on the AlexNet of torchvision's tensors."""
    import lpips

    network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    # "slice2.3.weight" is torchvision's "features.3.weight": slices keep the numbers of layers
    network.net.load_state_dict(
        {name: tensors["features." + name.partition(".")[2]] for name in network.net.state_dict()}
    )
    return network
