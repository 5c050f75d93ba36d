"""Class centres beside the ideal simplex: the simplex nearest to them, and a picture whose vertices never move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["SimplexFrame", "frame_axes", "nearest_simplex"]


@dataclass(frozen=True)
class SimplexFrame:
    """Where the ideal simplex lies in feature space.

    Attributes:
        map: (classes, features): multiplied with a centred feature it gives its place among the classes, in units in
            which the simplex has the vertices e_c − 1/C.
        gap: What is left between centres and simplex, √(1 − (Σσ)²/((C−1) Σσ²)): 0 for a simplex, at most 1.
    """

    map: np.ndarray
    gap: float


def nearest_simplex(centred: np.ndarray) -> SimplexFrame:
    """The simplex equiangular tight frame nearest to centred class means, turned, mirrored and scaled (Procrustes).

    With Ṁ = UΣVᵀ the turn is UVᵀ and the scale Σσ/(C−1) (Gower 1975). With fewer than C − 1 features there is no such
    simplex, and the projection of one stands for it.
    """
    classes = len(centred)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    kept = values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)
    total = float((values**2).sum())
    if total == 0 or classes < 2:
        return SimplexFrame(np.zeros_like(centred), float("nan"))
    scale = float(values.sum()) / (classes - 1)
    turn = left[:, kept] @ right[kept]
    gap = max(0.0, 1 - float(values.sum()) ** 2 / ((classes - 1) * total)) ** 0.5
    return SimplexFrame(turn / scale, gap)


def frame_axes(order: np.ndarray) -> np.ndarray:
    """Three orthonormal directions of class space, (classes, 3), for a picture of the simplex.

    The first two show its vertices as a regular polygon, in the order given; the third lifts every other one. For four
    classes it is the tetrahedron, for three the triangle, for two a line.
    """
    classes = len(order)
    place = np.empty(classes)
    place[order] = np.arange(classes)
    angle = 2 * np.pi * place / classes
    axes = np.zeros((classes, 3))
    columns = [np.cos(angle), np.sin(angle), np.cos(np.pi * place) if classes % 2 == 0 else np.cos(2 * angle)]
    for index, column in enumerate(columns[: min(3, classes - 1)]):
        rest = column - column.mean()
        rest = rest - axes[:, :index] @ (axes[:, :index].T @ rest)
        length = float(np.linalg.norm(rest))
        axes[:, index] = rest / length if length > 1e-9 else 0.0
    return axes
