"""Features of the Inception network that FID and KID are defined on, with clean-fid's resize.

Source: Heusel et al. 2017 (the network); Parmar, Zhang & Zhu 2022, On Aliased Resizing (the
resize: bicubic with antialiasing on floats, never rounded to bytes).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics.loading.library import loading
from evalkit.metrics.loading.packages import require_package
from evalkit.metrics.loading.released import locate_released
from evalkit.metrics.loading.tensors import device_of, read_tensors, ready

DEFAULT = "inception-2015-12-05"


class InceptionFeatures:
    """The pooled 2,048 features of an image, as clean-fid has them; the base of set metrics."""

    batch_size = 32

    def __init__(self, metric: str, weights: str | None, device: str | None):
        """With `weights`: None, `inception-2015-12-05`, or a file of that network.

        Runs in float32, on the first CUDA device where no device is named and there is one. Raises
        ModelError, one sentence.
        """
        for package in ("torch", "torchvision", "cleanfid"):
            require_package(package, metric)
        from cleanfid.inception_pytorch import FID_WEIGHTS_URL
        from cleanfid.resize import build_resizer

        self._metric = metric
        self._resize = build_resizer("clean")
        place = locate_released(weights, DEFAULT, FID_WEIGHTS_URL)
        self.weights = place.name
        tensors = read_tensors(place)
        with loading(place.name):
            self._network = ready(_network(tensors), device)

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The image at 299 x 299 (3 x 299 x 299, float32, 0 to 255)."""
        return self._resize(np.asarray(image)).transpose(2, 0, 1)

    def features(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """One row of 2,048 features per image (n x 2048, float32)."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(prepared)).to(device_of(self._network))
            return self._network((pixels - 128) / 128).cpu().numpy()

    def require_rows(self, rows: np.ndarray, whose: str, least: int, why: str) -> None:
        """ModelError unless there are `least` rows of features, all of them finite."""
        if len(rows) < least:
            raise ModelError(
                f"score: {self._metric}: {len(rows):,} images {whose}; allowed are {least:,} or "
                f"more, {why}"
            )
        if not np.isfinite(rows).all():
            raise ModelError(
                f"score: {self._metric}: features of images {whose} are not finite; a feature is a "
                "finite number; look at the weights"
            )


def _network(tensors: dict[str, Any]) -> Any:
    """torchvision's Inception with the blocks in which the network of FID differs, no last layer.

    With (x - 128) / 128 for pixels x it computes what clean-fid's own TorchScript file does.
    """
    import torch
    from cleanfid import inception_pytorch as blocks
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = blocks.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = blocks.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = blocks.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = blocks.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = blocks.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = blocks.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = blocks.FIDInceptionE_1(1280)
    network.Mixed_7c = blocks.FIDInceptionE_2(2048)
    network.load_state_dict(tensors)
    network.fc = torch.nn.Identity()
    return network
