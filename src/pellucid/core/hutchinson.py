"""Trace and spectral density of a symmetric matrix known only by its products: random probes, with their error.

For a random vector v of independent ±1, E[vᵀAv] = tr A. Hutch++ first takes the trace on the range of a small sketch
exactly, Q = orth(AS), and leaves only the rest to chance: tr(QᵀAQ) + mean of gᵀ(I − QQᵀ)A(I − QQᵀ)g.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.core.lanczos import lanczos

__all__ = ["Quadrature", "TraceEstimate", "hutch_plus_plus", "hutchinson", "lanczos_quadrature"]


@dataclass(frozen=True)
class TraceEstimate:
    """A trace, the standard error of its random part, and what it cost."""

    value: float
    error: float  # standard error over the probes; 0 if nothing was left to chance, nan from a single probe
    products: int


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Spectral density as point masses: ``weights[p, i]`` at ``nodes[p, i]`` for probe p; each probe's sum to 1."""

    nodes: np.ndarray  # (probes, steps); padded with the last node and weight 0
    weights: np.ndarray
    products: int

    def moment(self, power: int) -> tuple[float, float]:
        """Mean of λ to a power over the spectrum, and its standard error over the probes."""
        return _mean(np.sum(self.weights * self.nodes**power, axis=1))

    def below(self, bound: float) -> tuple[float, float]:
        """Share of the spectrum below a bound, and its standard error over the probes."""
        return _mean(np.sum(self.weights * (self.nodes < bound), axis=1))

    def smooth(self, grid: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """The density on a grid, each mass spread as a Gaussian of ``width``, and its standard error."""
        apart = (grid[None, None, :] - self.nodes[:, :, None]) / width
        bells = np.exp(-0.5 * apart**2) / (width * np.sqrt(2 * np.pi))
        each = np.einsum("pi,pig->pg", self.weights, bells)
        error = each.std(0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.full(len(grid), np.nan)
        return each.mean(0), error


def hutchinson(
    product: Callable[[Tensor], Tensor], like: Float[Tensor, " size"], samples: int, generator: torch.Generator
) -> TraceEstimate:
    """The trace by ``samples`` probes of ±1.

    Source: Hutchinson (1989), A stochastic estimator of the trace.

    >>> hutchinson(lambda v: 2 * v, torch.zeros(5), 3, torch.Generator()).value
    10.0
    """
    found = []
    for _ in range(samples):
        probe = _signs(like, generator)
        found.append(float(probe.double() @ product(probe).double()))
    return TraceEstimate(*_mean(np.array(found)), samples)


def hutch_plus_plus(
    product: Callable[[Tensor], Tensor], like: Float[Tensor, " size"], products: int, generator: torch.Generator
) -> TraceEstimate:
    """The trace by so many products, a third each for the sketch, for its range and for the rest.

    Source: Meyer, Musco, Musco and Woodruff (2021), Hutch++: optimal stochastic trace estimation, algorithm 1.

    >>> round(hutch_plus_plus(lambda v: 2 * v, torch.zeros(5), 15, torch.Generator()).value, 4)
    10.0
    """
    third = max(products // 3, 1)
    rank = min(third, like.numel())
    sketch = torch.stack([product(_signs(like, generator)).double() for _ in range(rank)], dim=1)
    frame = torch.linalg.qr(sketch)[0]
    inside = sum(float(column @ product(column.to(like)).double()) for column in frame.T)
    if rank == like.numel():
        return TraceEstimate(inside, 0.0, 2 * rank)
    rest = []
    for _ in range(third):
        probe = _signs(like, generator).double()
        probe = probe - frame @ (frame.T @ probe)
        rest.append(float(probe @ product(probe.to(like)).double()))
    mean, error = _mean(np.array(rest))
    return TraceEstimate(inside + mean, error, 2 * rank + third)


def lanczos_quadrature(
    product: Callable[[Tensor], Tensor],
    like: Float[Tensor, " size"],
    probes: int,
    steps: int,
    generator: torch.Generator,
) -> Quadrature:
    """The spectral density by Gauss quadrature: Lanczos from each probe; nodes θᵢ, weights (first entry of sᵢ)².

    A probe's first 2·steps − 1 moments vᵀAᵏv are exact, so that all error beyond smoothing lies in the probes.

    Source: Ubaru, Chen and Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, section 3.
    """
    nodes, weights, spent = [], [], 0
    steps = min(steps, like.numel())
    for _ in range(probes):
        krylov = lanczos(product, _signs(like, generator), steps)
        values, coordinates, _ = krylov.eigen()
        padding = steps - len(values)
        nodes.append(np.concatenate([values, np.full(padding, values[-1])]))
        weights.append(np.concatenate([coordinates[0] ** 2, np.zeros(padding)]))
        spent += len(values)
    return Quadrature(np.stack(nodes), np.stack(weights), spent)


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    draws = torch.randint(0, 2, (like.numel(),), generator=generator)
    return (2 * draws - 1).to(like)


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return float(values.mean()), error
