"""Eigenvalues of a symmetric matrix that is known only by its products with vectors.

After k steps from a start b, AQ = QT + β q eᵀ with orthonormal Q and tridiagonal T. An eigenpair (θ, s) of T gives the
Ritz pair (θ, Qs) with ‖AQs − θQs‖ = β|s_k|, so that an eigenvalue of A lies within that residual of θ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

__all__ = ["Extremes", "Krylov", "find_extremes", "lanczos"]


@dataclass(frozen=True, eq=False)
class Krylov:
    """What Lanczos leaves after k products: T's diagonals, the basis, and what would come next."""

    diagonal: np.ndarray  # (k,)
    beside: np.ndarray  # (k − 1,)
    last: float  # β after the last step: 0 if the basis is an invariant subspace
    basis: Float[Tensor, "steps size"]

    def eigen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values in rising order, their coordinates in the basis (columns), and their residuals."""
        values, coordinates = eigh_tridiagonal(self.diagonal, self.beside)
        return values, coordinates, abs(self.last * coordinates[-1])


@dataclass(frozen=True, eq=False)
class Extremes:
    """The largest and the smallest eigenvalues found."""

    largest: np.ndarray  # falling
    largest_residuals: np.ndarray
    largest_bounds: np.ndarray  # of the error of each value: min(residual, residual² ÷ gap)
    largest_vectors: Tensor  # rows
    smallest: np.ndarray  # rising
    smallest_residuals: np.ndarray
    smallest_bounds: np.ndarray
    smallest_vectors: Tensor
    products: int
    converged: bool


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, " size"],
    steps: int,
    done: Callable[[Krylov], bool] | None = None,
) -> Krylov:
    """Run Lanczos in float64 with every new vector made orthogonal to all earlier ones, twice.

    Args:
        product: v ↦ Av for a symmetric A, in any precision.
        start: Not zero; what it lacks is never found.
        steps: At most so many products.
        done: Asked after each product whether to stop.

    Source: Paige (1972); "twice is enough": Parlett, The Symmetric Eigenvalue Problem (1998), section 6.9.

    >>> found = lanczos(lambda v: v * torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), 3)
    >>> [round(float(value), 6) for value in found.eigen()[0]]
    [1.0, 2.0, 3.0]
    """
    size = start.numel()
    steps = min(steps, size)
    basis = torch.empty(steps, size, dtype=torch.float64, device=start.device)
    diagonal, beside = [], []
    vector = start.double() / start.double().norm()
    found = Krylov(np.empty(0), np.empty(0), 0.0, basis[:0])
    for step in range(steps):
        basis[step] = vector
        image = product(vector.to(start.dtype)).double()
        diagonal.append(float(image @ vector))
        largest = float(image.norm())
        for _ in range(2):
            image = image - (image @ basis[: step + 1].T) @ basis[: step + 1]
        beta = float(image.norm())
        # What is left of a product below its own rounding is no direction.
        ended = beta <= 4 * torch.finfo(start.dtype).eps * max(largest, 1e-300)
        found = Krylov(np.array(diagonal), np.array(beside), 0.0 if ended else beta, basis[: step + 1])
        if ended or (done is not None and done(found)):
            break
        beside.append(beta)
        vector = image / beta
    return found


def find_extremes(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, " size"],
    *,
    top: int = 1,
    bottom: int = 0,
    tolerance: float = 1e-4,
    steps: int = 100,
) -> Extremes:
    """The ``top`` largest and ``bottom`` smallest eigenvalues, each to a share ``tolerance`` of the largest magnitude.

    A Ritz value's error is at most its residual r, and at most r² ÷ gap, where the gap is the distance to the other
    eigenvalues; that distance is taken between Ritz intervals, so the second bound is an estimate. Besides, the largest
    eigenvalue is never below the largest Ritz value and the smallest never above the smallest. A multiple eigenvalue
    shows once.

    Source: Kaniel-Paige theory: Parlett (1998), theorems 4.5.1 and 11.7.1.
    """
    asked = top + bottom

    def settled(krylov: Krylov) -> bool:
        values, _, residuals = krylov.eigen()
        if len(values) <= asked:
            return False
        bounds = _bounds(values, residuals)
        allowed = tolerance * float(np.abs(values).max())
        chosen = [*range(len(values) - top, len(values)), *range(bottom)]
        return bool((bounds[chosen] <= allowed).all())

    krylov = lanczos(product, start, steps, settled)
    values, coordinates, residuals = krylov.eigen()
    bounds = _bounds(values, residuals)
    k = len(values)
    high = list(range(k - 1, max(k - 1 - top, -1), -1))
    low = list(range(min(max(bottom, 1), k)))
    turned = torch.from_numpy(coordinates).to(krylov.basis)
    return Extremes(
        largest=values[high],
        largest_residuals=residuals[high],
        largest_bounds=bounds[high],
        largest_vectors=turned[:, high].T @ krylov.basis,
        smallest=values[low],
        smallest_residuals=residuals[low],
        smallest_bounds=bounds[low],
        smallest_vectors=turned[:, low].T @ krylov.basis,
        products=k,
        converged=settled(krylov) or krylov.last == 0.0 or k == start.numel(),
    )


def _bounds(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """min(r, r² ÷ gap) of each Ritz value, the gap counted from its neighbours' intervals."""
    gaps = np.full(len(values), np.inf)
    apart = np.diff(values)
    gaps[1:] = apart - residuals[:-1]
    gaps[:-1] = np.minimum(gaps[:-1], apart - residuals[1:])
    safe = np.where(gaps > residuals, gaps, np.nan)
    return np.fmin(residuals, residuals**2 / safe)
