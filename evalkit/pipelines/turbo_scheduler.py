"""The sampler with which the authors of SDXL-Turbo show their model, as a scheduler.

Source: Stability-AI/generative-models, scripts/demo/turbo.py (Euler ancestral on a grid of 1000
steps, of which the sub-steps 0, 100, 200, 300 are taken). The library's documentation runs the same
model on evenly spread ("trailing") timesteps: 999, 749, 499, 249 for four.
"""

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler

SUB_STEPS = (0, 100, 200, 300)  # of the grid of 1000 that begins with the most noise
_GRID = 1000


class TurboScheduler(EulerAncestralDiscreteScheduler):
    """Euler ancestral through the first n of the timesteps 999, 899, 799, 699, then to no noise.

    The initial noise has the variance of a noised image, 1 + sigma^2, and not sigma^2. Raises
    ValueError for more than four steps, or a model that was not trained on 1000 timesteps.
    """

    @property
    def init_noise_sigma(self) -> torch.Tensor:
        return (self.sigmas.max() ** 2 + 1) ** 0.5

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        if not 1 <= num_inference_steps <= len(SUB_STEPS):
            raise ValueError(
                f"TurboScheduler has 1 to {len(SUB_STEPS)} steps, not {num_inference_steps}"
            )
        if self.config.num_train_timesteps != _GRID:
            raise ValueError(
                f"TurboScheduler is for models of {_GRID} training timesteps, "
                f"not {self.config.num_train_timesteps}"
            )
        super().set_timesteps(num_inference_steps)  # for its bookkeeping
        timesteps = _GRID - 1 - np.array(SUB_STEPS[:num_inference_steps])
        kept = self.alphas_cumprod[timesteps].double()
        sigmas = ((1 - kept) / kept).sqrt()
        self.sigmas = torch.cat([sigmas, sigmas.new_zeros(1)]).float()  # on the CPU, as the parent
        self.timesteps = torch.from_numpy(timesteps.astype(np.float32)).to(device)
