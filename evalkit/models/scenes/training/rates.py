"""Learning rates over the course of a stage."""

from __future__ import annotations

import math


def cosine_rate(
    step: int, steps: int, peak: float, *, warm_up: int, constant: float = 0.0
) -> float:
    """Warm-up, a constant share of the steps, then a cosine down to a hundredth of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = max(0.0, (step / steps - constant) / (1 - constant))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def set_rate(optimizer: object, rate: float) -> None:
    """Give every parameter group of a torch optimizer the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
