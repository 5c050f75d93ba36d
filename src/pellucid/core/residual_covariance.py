"""The full within-class covariance, features × features, for the few measures that cannot be had without it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.core.class_moments import Centres, check_batch

__all__ = ["ResidualCovariance", "decompose_squared_error", "variability_index"]

_DROPPED = 1e-12
"""Eigenvalues below this share of the largest count as zero."""


class ResidualCovariance:
    """Σ (h − μ)(h − μ)ᵀ in float64 about given centres; 8·d² bytes.

    Args:
        centres: Of the same examples.
    """

    def __init__(self, centres: Centres) -> None:
        width = centres.means.shape[1]
        self.centres = centres
        self.sums = torch.zeros(width, width, dtype=torch.float64, device=centres.means.device)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        features, labels = check_batch(features, labels, len(self.centres.counts), self.centres.means.shape[1])
        residual = features.double() - self.centres.means[labels]
        self.sums.addmm_(residual.T, residual)

    def within(self) -> Tensor:
        """Σ_W, the mean over all examples."""
        return self.sums / self.centres.counts.sum()


def variability_index(covariance: ResidualCovariance) -> float:
    """VCI = 1 − Tr(Σ_T†Σ_B)/rank Σ_B with Σ_T = Σ_W + Σ_B (Xu and Liu 2023): 0 in collapse, near 1 without classes."""
    centres = covariance.centres
    rank = len(centres.strengths)
    if not rank:
        return math.nan
    scale = (centres.strengths / centres.present.sum()).sqrt()
    between = centres.directions * scale[:, None]
    values, vectors = _invertible(covariance.within() + between.T @ between)
    return 1 - float(((between @ vectors).square() / values).sum()) / rank


def decompose_squared_error(
    covariance: ResidualCovariance, weight: Tensor, bias: Tensor | None, weight_decay: float = 0.0
) -> dict[str, float]:
    """The squared error of one-hot targets in three parts (Han, Papyan, Donoho 2022, theorem 2 and corollary 2).

    With W̃ = (W, b), h̃ = (h, 1) and W_LS the least-squares classifier of these features,
    ½ mean‖W̃h̃ − e_y‖² + ½λ‖W̃‖² = ½Tr W_LS(Σ_W + λI)W_LSᵀ + ½ mean‖W_LS μ̃_y − e_y‖² + ½Tr D(M + λI)Dᵀ, where
    D = W̃ − W_LS and M is the second moment of h̃. Classes weigh by their examples, which is the paper's formula where
    they are balanced.

    Returns:
        ``mse_nc1``, ``mse_nc23``, ``mse_perp`` and their sum ``mse_loss``.
    """
    centres = covariance.centres
    share = centres.counts.double() / centres.counts.sum()
    one = torch.ones(len(share), 1, dtype=torch.float64, device=share.device)
    means = torch.cat([centres.means, one], dim=1)
    width = means.shape[1]
    noise = torch.zeros(width, width, dtype=torch.float64, device=share.device)
    noise[:-1, :-1] = covariance.within()
    ridge = weight_decay * torch.eye(width, dtype=torch.float64, device=share.device)
    moment = noise + means.T @ (share[:, None] * means) + ridge
    values, vectors = _invertible(moment)
    best = ((share[:, None] * means) @ vectors / values) @ vectors.T
    offset = torch.zeros_like(weight[:, 0]) if bias is None else bias
    gap = torch.cat([weight.double(), offset.double()[:, None]], dim=1).to(best.device) - best
    missed = best @ means.T - torch.eye(len(share), dtype=torch.float64, device=share.device)
    found = {
        "mse_nc1": float(((best @ (noise + ridge)) * best).sum()) / 2,
        "mse_nc23": float((missed.square().sum(dim=0) * share).sum()) / 2,
        "mse_perp": float(((gap @ moment) * gap).sum()) / 2,
    }
    return found | {"mse_loss": sum(found.values())}


def _invertible(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues that are not zero, and their vectors as columns."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > _DROPPED * values[-1]
    return values[kept], vectors[:, kept]
