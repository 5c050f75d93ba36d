"""Second moments of a regression's features and targets, gathered in one pass, and the measures of collapse on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import DataError

__all__ = ["NRC3", "RegressionMoments", "fit_gram", "outside_share"]

_DROPPED = 1e-12


class RegressionMoments:
    """Sums of h, hhᵀ, h̃h̃ᵀ (h̃ = h/‖h‖), y and yyᵀ in float64, about the first batch's means; 16·d² bytes.

    Args:
        features: How many features.
        targets: How many targets.
    """

    def __init__(self, features: int, targets: int) -> None:
        self.examples, self.zeros = 0, 0
        self.feature_origin = torch.zeros(features, dtype=torch.float64)
        self.target_origin = torch.zeros(targets, dtype=torch.float64)
        self.feature_sum, self.target_sum = self.feature_origin.clone(), self.target_origin.clone()
        self.feature_squares = torch.zeros(features, features, dtype=torch.float64)
        self.direction_squares = torch.zeros_like(self.feature_squares)
        self.target_squares = torch.zeros(targets, targets, dtype=torch.float64)
        self.squared_error = 0.0

    def update(self, features: Tensor, targets: Tensor, missed: Tensor | None) -> None:
        """Add a batch: (examples, features), (examples, targets), and by how much the network missed them."""
        h, y = features.detach().double().cpu(), targets.detach().double().cpu()
        if not bool(torch.isfinite(h).all() and torch.isfinite(y).all()):
            raise DataError(
                f"features or targets among examples {self.examples} to {self.examples + len(h) - 1} are not finite",
                place="features",
                remedy="look for NaN in the inputs, targets or weights (pellucid.trace names the operation)",
            )
        if not self.examples:
            self.feature_origin, self.target_origin = h.mean(dim=0), y.mean(dim=0)
        lengths = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        directions = torch.where(lengths > 0, h / lengths, 0.0)
        moved, shifted = h - self.feature_origin, y - self.target_origin
        self.examples += len(h)
        self.zeros += int((lengths == 0).sum())
        self.feature_sum += moved.sum(dim=0)
        self.target_sum += shifted.sum(dim=0)
        self.feature_squares.addmm_(moved.T, moved)
        self.direction_squares.addmm_(directions.T, directions)
        self.target_squares.addmm_(shifted.T, shifted)
        self.squared_error += 0.0 if missed is None else float(missed.double().square().sum())

    def feature_covariance(self) -> Tensor:
        """Of h, about its mean."""
        mean = self.feature_sum / self.examples
        return self.feature_squares / self.examples - torch.outer(mean, mean)

    def feature_moment(self) -> Tensor:
        """The mean of hhᵀ."""
        mean = self.feature_sum / self.examples + self.feature_origin
        return self.feature_covariance() + torch.outer(mean, mean)

    def target_covariance(self) -> Tensor:
        """Of y, about its mean: Σ."""
        mean = self.target_sum / self.examples
        return self.target_squares / self.examples - torch.outer(mean, mean)

    def directions(self) -> Tensor:
        """The mean of h̃h̃ᵀ, whose trace is 1 but for examples whose features are all zero."""
        return self.direction_squares / self.examples


def outside_share(moment: Tensor, basis: Tensor) -> float:
    """Tr((I − P)M(I − P)) with P the projection on the rows of ``basis``: the mean squared distance to their span.

    >>> outside_share(torch.eye(2, dtype=torch.float64) / 2, torch.tensor([[3.0, 0.0]]))
    0.5
    """
    _, values, vectors = torch.linalg.svd(basis.double(), full_matrices=False)
    kept = vectors[values > _DROPPED * values[0]] if len(values) and float(values[0]) > 0 else vectors[:0]
    half = moment - kept.T @ (kept @ moment)
    return max(float(torch.trace(half - (half @ kept.T) @ kept)), 0.0)


@dataclass(frozen=True)
class NRC3:
    """How the Gram matrix of a regression's weights compares with that of its targets.

    Attributes:
        value: The least of the curve.
        place: Where, as a share of √λ_min: √γ/√λ_min.
        grid: Shares from 0 to 1.
        curve: NRC3 at each of them.
        ideal: Σ^(1/2) − γ^(1/2) I there, with the norm of WWᵀ.
    """

    value: float
    place: float
    grid: Tensor
    curve: Tensor
    ideal: Tensor


def fit_gram(gram: Tensor, covariance: Tensor, points: int = 101) -> NRC3:
    """NRC3(γ) = ‖WWᵀ/‖WWᵀ‖ − (Σ^½ − γ^½ I)/‖Σ^½ − γ^½ I‖‖² at its least over γ in [0, λ_min].

    With A = WWᵀ, S = Σ^½ and τ = √γ the cosine (⟨A, S⟩ − τ Tr A)/√(‖S‖² − 2τ Tr S + τ²n) has one stationary point,
    τ = (⟨A, S⟩ Tr S − Tr A ‖S‖²)/(n⟨A, S⟩ − Tr A Tr S); the least lies there or at an end.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    count, limit = len(gram), float(values[0].clamp(min=0).sqrt())
    size = float(torch.linalg.matrix_norm(gram))
    if count < 2 or not size > 0 or not float(values[-1]) > 0:
        nothing = torch.full((0,), math.nan, dtype=torch.float64)
        return NRC3(math.nan, math.nan, nothing, nothing, torch.full_like(gram, math.nan))
    product, trace, other = float((gram * root).sum()), float(gram.trace()), float(root.trace())
    below = count * product - trace * other
    best = (product * other - trace * float(root.square().sum())) / below if below else 0.0
    ends = [0.0, limit] + ([best] if 0 < best < limit else [])

    def at(tau: float) -> float:
        ideal = root - tau * torch.eye(count, dtype=torch.float64)
        norm = torch.linalg.matrix_norm(ideal)
        return float(torch.linalg.matrix_norm(gram / size - ideal / norm) ** 2) if float(norm) > 0 else math.nan

    found = min((one for one in ends if not math.isnan(at(one))), key=at)
    grid = torch.linspace(0, 1, points, dtype=torch.float64)
    ideal = root - found * torch.eye(count, dtype=torch.float64)
    curve = torch.tensor([at(float(share) * limit) for share in grid], dtype=torch.float64)
    place = found / limit if limit > 0 else 0.0
    return NRC3(at(found), place, grid, curve, ideal * size / torch.linalg.matrix_norm(ideal))
