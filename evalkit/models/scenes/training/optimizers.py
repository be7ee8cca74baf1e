"""Muon for the matrices and AdamW for the rest, under one learning rate."""

from __future__ import annotations

from collections import defaultdict

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon:
    """Momentum with orthogonalised updates for matrices (Jordan 2024; scale of Liu et al. 2025).

    Convolutions count as matrices of shape (out, in * 9). Parameters in `plain`, and those with
    fewer than two dimensions, are left to AdamW. `orthogonal=False` leaves all to AdamW.
    """

    def __init__(
        self,
        parameters: list[torch.nn.Parameter],
        plain: list[torch.nn.Parameter],
        *,
        momentum: float = 0.95,
        decay: float = 0.01,
        orthogonal: bool = True,
    ) -> None:
        kept = {id(parameter) for parameter in plain}
        self.matrices = [p for p in parameters if orthogonal and p.ndim >= 2 and id(p) not in kept]
        taken = {id(parameter) for parameter in self.matrices}
        rest = [parameter for parameter in parameters if id(parameter) not in taken]
        self.adam = torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.99), weight_decay=decay)
        self.speeds = [torch.zeros_like(parameter) for parameter in self.matrices]
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update all parameters and clear their gradients."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.adam.zero_grad()
        same_shape = defaultdict(list)
        for parameter, speed in zip(self.matrices, self.speeds, strict=True):
            if parameter.grad is None:
                continue
            speed.lerp_(parameter.grad, 1 - self.momentum)
            update = parameter.grad.lerp(speed, self.momentum).flatten(1)
            same_shape[tuple(update.shape)].append((parameter, update))
            parameter.grad = None
        for shape, pairs in same_shape.items():
            updates = orthogonalize(torch.stack([update for _, update in pairs]))
            scale = 0.2 * max(shape) ** 0.5
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.mul_(1 - rate * self.decay)
                parameter.add_(update.view_as(parameter), alpha=-rate * scale)

    def state_dict(self) -> dict:
        """Everything a resume needs."""
        return {"adam": self.adam.state_dict(), "speeds": self.speeds}

    def load_state_dict(self, state: dict) -> None:
        """Take over a saved state."""
        self.adam.load_state_dict(state["adam"])
        for speed, saved in zip(self.speeds, state["speeds"], strict=True):
            speed.copy_(saved)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrices, by five Newton-Schulz steps; shape (n, rows, columns)."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()
