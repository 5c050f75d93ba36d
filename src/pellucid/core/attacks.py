"""Small perturbations that change a classifier's decision, written out as their papers give them.

Every function takes ``decide``, which maps a batch of inputs to (examples, classes) and treats each example by itself
(a network in evaluation mode), and gives a batch of perturbed inputs back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Bounds", "Decide", "Norm", "deepfool", "fast_gradient_sign", "projected_descent"]

Decide = Callable[[Tensor], Tensor]
Norm = Literal["linf", "l2"]
Bounds = tuple[float | int, float | int] | None
"""The range that inputs stay in; None for any."""


def fast_gradient_sign(decide: Decide, x: Tensor, y: Tensor, size: float, bounds: Bounds = None) -> Tensor:
    """x + ε sign ∇ₓL, with cross-entropy L (Goodfellow et al. 2015, section 4)."""
    return _clip(x + size * _loss_slope(decide, x, y).sign(), bounds)


def projected_descent(
    decide: Decide,
    x: Tensor,
    y: Tensor,
    size: float,
    *,
    norm: Norm = "linf",
    steps: int = 20,
    step: float = 0.0,
    bounds: Bounds = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Steepest ascent of the loss inside a ball around x, projected back after each step (Madry et al. 2018).

    Args:
        decide: The classifier.
        x: Inputs.
        y: Their classes.
        size: Radius of the ball.
        norm: Of the ball and of the steps: the sign of the gradient, or the gradient over its length.
        steps: How many.
        step: Their length; 0 for 2.5 × size ÷ steps, with which the whole ball can be reached.
        bounds: The range that inputs stay in.
        generator: Starts at a random point of the ball; None starts at x.

    Returns:
        For every example the first point that the classifier gets wrong, else the last point; and whether it is wrong.
    """
    step = step or 2.5 * size / steps
    moved = _clip(x + _inside(x, size, norm, generator), bounds)
    kept, fooled = moved.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for count in range(steps + 1):
        logits, slope = _logits_and_slope(decide, moved, y)
        new = (logits.argmax(dim=1) != y) & ~fooled
        kept[new] = moved[new]
        fooled |= new
        if count == steps or bool(fooled.all()):
            break
        direction = slope.sign() if norm == "linf" else slope / _lengths(slope).clamp_min(1e-30)
        moved = _clip(x + _project(moved + step * direction - x, size, norm), bounds)
    kept[~fooled] = moved[~fooled]
    return kept, fooled


def deepfool(
    decide: Decide,
    x: Tensor,
    *,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
    bounds: Bounds = None,
) -> tuple[Tensor, Tensor]:
    """Step to the nearest boundary of the linearisation until the decision changes (Moosavi-Dezfooli et al. 2016).

    The boundaries are those between the present decision and the ``candidates`` − 1 classes of the next largest
    outputs at x. Every step is ‖·‖₂-shortest; what is added up is drawn out by ``overshoot``.

    Returns:
        The perturbed inputs, and whether the decision there differs from that at x.
    """
    with torch.no_grad():
        order = decide(x).argsort(dim=1, descending=True)[:, :candidates]
    total, moved = torch.zeros_like(x), x.clone()
    changed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(steps):
        waiting = torch.nonzero(~changed).flatten()
        if not len(waiting):
            break
        shift = _shift_to_boundary(decide, moved[waiting], order[waiting])
        total[waiting] += shift
        moved[waiting] = _clip(x[waiting] + (1 + overshoot) * total[waiting], bounds)
        with torch.no_grad():
            changed[waiting] = decide(moved[waiting]).argmax(dim=1) != order[waiting, 0]
    return moved, changed


def _shift_to_boundary(decide: Decide, x: Tensor, order: Tensor) -> Tensor:
    """The shortest step to where the linearisation at x changes its decision."""
    with torch.enable_grad():
        given = x.detach().requires_grad_(True)
        picked = decide(given).gather(1, order)
        gaps = picked[:, 1:] - picked[:, :1]  # below 0: not there yet
        slopes = [
            torch.autograd.grad(gaps[:, k].sum(), given, retain_graph=k + 1 < gaps.shape[1])[0]
            for k in range(gaps.shape[1])
        ]
    slope, size = torch.stack(slopes, 1), gaps.detach().abs()
    length = slope.flatten(2).norm(dim=2)
    distance = torch.where(length > 0, size / length, math.inf)
    best = distance.argmin(dim=1)
    rows = torch.arange(len(x), device=x.device)
    steep = length[rows, best]
    scale = torch.where(steep > 0, (size[rows, best] + 1e-6 * steep) / steep**2, 0.0)
    return slope[rows, best] * scale.reshape(-1, *[1] * (x.dim() - 1))


def _loss_slope(decide: Decide, x: Tensor, y: Tensor) -> Tensor:
    return _logits_and_slope(decide, x, y)[1]


def _logits_and_slope(decide: Decide, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What the classifier says, and the direction of each example's gradient of its own cross-entropy.

    By the logits that gradient is p − e_y, which rounds to 0 where the network is sure; divided by the largest p of
    the other classes it does not, and points the same way.
    """
    with torch.enable_grad():
        given = x.detach().requires_grad_(True)
        logits = decide(given)
        others = logits.detach().double().scatter(1, y[:, None], -math.inf)
        pull = (others - others.amax(dim=1, keepdim=True)).exp()
        pull = pull.scatter(1, y[:, None], -pull.sum(dim=1, keepdim=True))
        (slope,) = torch.autograd.grad((logits * pull.to(logits)).sum(), given)
    return logits.detach(), slope


def _lengths(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))


def _project(offset: Tensor, size: float, norm: Norm) -> Tensor:
    """The nearest point of the ball."""
    if norm == "linf":
        return offset.clamp(-size, size)
    return offset * (size / _lengths(offset).clamp_min(1e-30)).clamp(max=1.0)


def _inside(x: Tensor, size: float, norm: Norm, generator: torch.Generator | None) -> Tensor:
    """A random point of the ball, uniform in it; 0 without a generator."""
    if generator is None:
        return torch.zeros_like(x)
    if norm == "linf":
        return (torch.rand(x.shape, generator=generator).to(x) * 2 - 1) * size
    offset = torch.randn(x.shape, generator=generator).to(x)
    radius = torch.rand(len(x), generator=generator).to(x) ** (1 / math.prod(x.shape[1:]))
    return offset / _lengths(offset).clamp_min(1e-30) * size * radius.reshape(-1, *[1] * (x.dim() - 1))


def _clip(x: Tensor, bounds: Bounds) -> Tensor:
    return x if bounds is None else x.clamp(*bounds)
