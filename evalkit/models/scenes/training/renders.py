"""Renders to judge by: pictures of scenes of all pairs, made worse as models make them worse."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, pad

from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import SIDE, Scene, draw_scene
from evalkit.models.scenes.training.checkpoints import seeded
from evalkit.models.scenes.training.codec import to_tensor
from evalkit.models.scenes.training.data import CELLS, PATCH, to_patches

HELD_OUT_SHARE = 0.25


def draw_renders(
    stage: int, step: int, size: int, pca: dict[str, np.ndarray], *, empty_share: float = 0.05
) -> tuple[list[Scene], torch.Tensor]:
    """Scenes of all pairs and their pictures (n, 3, 96, 96), some coarse, blurred or noisy.

    A share of the scenes shows nothing but background.
    """
    rng = np.random.default_rng([stage, step])
    scenes, pictures = [], []
    for _ in range(size):
        scene = draw_scene(rng, held_out=bool(rng.random() < HELD_OUT_SHARE))
        if rng.random() < empty_share:
            scene = Scene(scene.background, (), None, scene.seed)
        scenes.append(scene)
        pictures.append(np.asarray(draw_picture(scene)))
    pixels = np.stack(pictures)
    clean, coarse = to_tensor(pixels), _through_pca(pixels, pca)
    random = seeded(stage, step)
    mix = torch.rand(size, 1, 1, 1, generator=random)
    worse = mix * clean + (1 - mix) * coarse
    blurred = avg_pool2d(pad(worse, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mix = torch.rand(size, 1, 1, 1, generator=random)
    worse = mix * worse + (1 - mix) * blurred
    level = 0.15 * torch.rand(size, 1, 1, 1, generator=random)
    light = 1 + 0.2 * (torch.rand(size, 1, 1, 1, generator=random) - 0.5)
    return scenes, light * worse + level * torch.randn(worse.shape, generator=random)


def _through_pca(pictures: np.ndarray, pca: dict[str, np.ndarray]) -> torch.Tensor:
    """Pictures as the twelve patch components keep them, float32 in about -1 to 1."""
    patches = (to_patches(pictures) - pca["mean"]) @ pca["encode"] @ pca["decode"] + pca["mean"]
    cut = patches.reshape(len(pictures), CELLS, CELLS, PATCH, PATCH, 3)
    return torch.from_numpy(cut.transpose(0, 5, 1, 3, 2, 4).reshape(-1, 3, SIDE, SIDE).copy())
