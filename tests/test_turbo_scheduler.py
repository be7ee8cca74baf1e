"""The authors' sampler of SDXL-Turbo against the arithmetic of Euler ancestral, done again."""

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from evalkit.pipelines.turbo_scheduler import TurboScheduler

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}  # of SDXL
MEAN, WIDTH = 0.7, 0.5  # the data of the toy: normal, so that its best denoiser is known
SHAPE = (2, 4, 3, 3)


def sigma(timestep):
    """The noise at a timestep: (1 - a) / a of the variance kept, a the product of 1 - beta."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    kept = np.cumprod(1 - betas)[timestep]
    return np.sqrt((1 - kept) / kept)


def denoised(x, s):
    """The mean of normal data given x = data + s * noise."""
    return (WIDTH**2 * x + s**2 * MEAN) / (WIDTH**2 + s**2)


def generators():
    return [torch.Generator().manual_seed(seed) for seed in (3, 4)]


def draws(n):
    """The noise that the generators give, in order: first the initial one, then one per step."""
    sources = generators()
    return [
        np.stack([torch.randn(SHAPE[1:], generator=g).numpy() for g in sources]).astype(np.float64)
        for _ in range(n + 1)
    ]


def by_arithmetic(steps):
    """Karras et al. 2022 as k-diffusion has it: down to sigma_down, then up by sigma_up * noise."""
    first, *noises = draws(steps)
    sigmas = [*(sigma(999 - sub_step) for sub_step in (0, 100, 200, 300)[:steps]), 0.0]
    x = first * np.sqrt(1 + sigmas[0] ** 2)
    for s, lower, noise in zip(sigmas, sigmas[1:], noises, strict=False):
        up = np.sqrt(lower**2 * (s**2 - lower**2) / s**2)
        down = np.sqrt(lower**2 - up**2)
        x = x + (x - denoised(x, s)) / s * (down - s) + up * noise
    return x


def run(scheduler, steps, scale=None):
    """The loop of a library pipeline, with the toy as its denoiser."""
    sources = generators()
    scheduler.set_timesteps(steps)
    noise = torch.stack([torch.randn(SHAPE[1:], generator=g) for g in sources])
    x = noise * (scheduler.init_noise_sigma if scale is None else scale)
    for t in scheduler.timesteps:
        s = float(sigma(int(t)))
        given = scheduler.scale_model_input(x, t) * (1 + s**2) ** 0.5
        x = scheduler.step((given - denoised(given, s)) / s, t, x, generator=sources).prev_sample
    return x


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_it_is_euler_ancestral_on_the_authors_sub_steps(steps):
    found = run(TurboScheduler(**BETAS), steps)
    assert np.abs(found.numpy() - by_arithmetic(steps)).max() < 1e-4


def test_it_visits_the_authors_timesteps_and_not_the_library_s():
    ours, library = (
        kind(**BETAS, timestep_spacing="trailing")
        for kind in (TurboScheduler, EulerAncestralDiscreteScheduler)
    )
    for scheduler in (ours, library):
        scheduler.set_timesteps(4)
    assert ours.timesteps.tolist() == [999, 899, 799, 699]
    assert library.timesteps.tolist() == [999, 749, 499, 249]
    assert ours.sigmas[-1] == library.sigmas[-1] == 0
    assert float(ours.init_noise_sigma) == pytest.approx((1 + sigma(999) ** 2) ** 0.5, rel=1e-5)
    assert float(library.init_noise_sigma) == pytest.approx(sigma(999), rel=1e-5)


def test_with_one_step_both_samplers_agree_up_to_the_initial_scale():
    ours = TurboScheduler(**BETAS)
    library = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    assert torch.allclose(run(ours, 1), run(library, 1, scale=ours.init_noise_sigma), atol=1e-5)
    assert not torch.allclose(run(ours, 4), run(library, 4, scale=ours.init_noise_sigma), atol=0.1)


@pytest.mark.parametrize("steps", [0, 5])
def test_it_has_one_to_four_steps(steps):
    with pytest.raises(ValueError, match=f"has 1 to 4 steps, not {steps}"):
        TurboScheduler(**BETAS).set_timesteps(steps)


def test_it_is_for_a_thousand_timesteps():
    with pytest.raises(ValueError, match="of 1000 training timesteps, not 500"):
        TurboScheduler(num_train_timesteps=500).set_timesteps(1)


def test_it_takes_the_noise_schedule_of_a_checkpoint():
    own = EulerAncestralDiscreteScheduler(**BETAS, prediction_type="v_prediction", steps_offset=1)
    found = TurboScheduler.from_config(own.config)
    assert found.config.prediction_type == "v_prediction"
    assert torch.equal(found.alphas_cumprod, own.alphas_cumprod)
