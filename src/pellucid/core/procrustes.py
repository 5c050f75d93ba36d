"""Pictures of many-dimensional points: their two principal directions, turned so that two pictures agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["turn_to", "two_principal"]

_DENSE = 1500


def two_principal(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Points in the plane in which they vary most, around their mean, and the share of their variance in it.

    Rows with a value that is not finite are left out, and are nan in the picture.
    """
    finite = np.isfinite(values).all(axis=1)
    picture = np.full((len(values), 2), np.nan)
    if finite.sum() < 2:
        return picture, math.nan
    rows = values[finite]
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    total = float((rows.astype(np.float64) ** 2).sum()) if rows.dtype == np.float64 else float(np.square(rows).sum())
    if total == 0:
        picture[finite] = 0.0
        return picture, math.nan
    directions = _directions(rows)
    picture[finite] = rows @ directions
    return picture, min(1.0, float((picture[finite] ** 2).sum()) / total)


def _directions(rows: np.ndarray) -> np.ndarray:
    """The two strongest right singular vectors, their signs set by their largest entry."""
    if min(rows.shape) <= _DENSE:
        wide = rows.shape[1] > rows.shape[0]
        gram = (rows @ rows.T if wide else rows.T @ rows).astype(np.float64)
        vectors = np.linalg.eigh(gram)[1][:, -1:-3:-1]
        found = rows.T @ vectors if wide else vectors
        found = np.linalg.qr(found)[0]
    else:
        from scipy.sparse.linalg import svds

        start = np.ones(min(rows.shape), dtype=rows.dtype)
        both: Any = svds(rows, k=2, v0=start)
        found = both[2][::-1].T
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    return found * np.where(signs == 0, 1.0, signs)


def turn_to(picture: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Turn and mirror a picture so that its points lie as near as they can to another's, each about its own mean.

    Returns:
        The picture, and what is left of the distance, relative to the sizes: √(1 − (Σσ)² / (|a|²|b|²)), 0 for the same
        picture up to size.

    Source: Gower 1975; the turn is U Vᵀ of the singular value decomposition of AᵀB.
    """
    finite = np.isfinite(picture).all(axis=1) & np.isfinite(target).all(axis=1)
    if finite.sum() < 2:
        return picture, math.nan
    a, b = picture[finite], target[finite]
    centre = a.mean(axis=0)
    a, b = a - centre, b - b.mean(axis=0)
    left, values, right = np.linalg.svd(a.T @ b)
    sizes = float((a**2).sum() * (b**2).sum())
    if sizes == 0:
        return picture, math.nan
    return (picture - centre) @ (left @ right) + centre, math.sqrt(max(0.0, 1 - float(values.sum()) ** 2 / sizes))
