"""Are points one cloud or several? Two-means against clouds of the same covariance."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

__all__ = ["ClusterTest", "holm", "judge_clusters"]

_STEPS = 12


@dataclass(frozen=True)
class ClusterTest:
    """The best cut in two, and what chance gives."""

    index: float  # what two clusters leave of the squared distances to the mean, 0–1
    null: np.ndarray  # (draws,) the same of Gaussian clouds
    p_value: float  # share of clouds at least as cut, the observed one counted in
    normal_p_value: float  # by a normal curve through the clouds' indices, for p-values below 1/draws
    side: np.ndarray  # (points,) 0 or 1; the larger cluster is 0


def judge_clusters(points: np.ndarray, *, draws: int = 99, directions: int = 10, seed: int = 0) -> ClusterTest:
    """Cut points in two by k-means and compare with Gaussian clouds of the same spectrum (SigClust).

    The points are seen in their leading principal directions. It is a test against *one Gaussian cloud*: a strongly
    skewed cloud can fail it without falling into clusters.

    Source: Liu, Hayes, Nobel and Marron 2008.

    Args:
        points: (points, features), at least four of them.
        draws: Clouds of the null model.
        directions: How many principal directions are looked at.
        seed: Of the clouds.
    """
    centred = points - points.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    kept = np.flatnonzero(values > 1e-9 * max(float(values.max(initial=0.0)), 1e-300))[:directions]
    if len(points) < 4 or not len(kept):
        return ClusterTest(float("nan"), np.empty(0), float("nan"), float("nan"), np.zeros(len(points), dtype=np.int8))
    seen = left[:, kept] * values[kept]
    generator = np.random.default_rng(seed)
    clouds = generator.standard_normal((draws, *seen.shape))
    clouds -= clouds.mean(axis=1, keepdims=True)
    # Each cloud is given the observed spectrum, not only its expectation: what differs is the shape alone.
    frame, _, turn = np.linalg.svd(clouds, full_matrices=False)
    clouds = frame @ turn * values[kept]
    index, sides = _two_means(np.concatenate([seen[None], clouds]))
    side = sides[0].astype(np.int8)
    if side.mean() > 0.5:
        side = (1 - side).astype(np.int8)
    hits = int((index[1:] <= index[0] + 1e-12).sum())
    spread = float(index[1:].std())
    normal = NormalDist().cdf(float(index[0] - index[1:].mean()) / spread) if spread > 0 else 1.0
    return ClusterTest(float(index[0]), index[1:], (1 + hits) / (1 + draws), normal, side)


def _two_means(clouds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's steps from a cut across each of the first directions; the best end of each cloud."""
    total = (clouds**2).sum(axis=(1, 2))
    best, sides = np.full(len(clouds), np.inf), np.zeros(clouds.shape[:2], dtype=bool)
    for axis in range(min(3, clouds.shape[2])):
        side = clouds[:, :, axis] > 0
        for _ in range(_STEPS):
            ones = side.sum(axis=1)
            zeros = side.shape[1] - ones
            sums = np.einsum("np,npd->nd", side.astype(float), clouds)
            high, low = sums / np.maximum(ones, 1)[:, None], -sums / np.maximum(zeros, 1)[:, None]
            middle = ((high**2).sum(axis=1) - (low**2).sum(axis=1)) / 2
            side = np.einsum("npd,nd->np", clouds, high - low) > middle[:, None]
        ones = side.sum(axis=1)
        zeros = side.shape[1] - ones
        sums = np.einsum("np,npd->nd", side.astype(float), clouds)
        left = 1 - (sums**2).sum(axis=1) * (1 / np.maximum(ones, 1) + 1 / np.maximum(zeros, 1)) / total
        better = left < best
        best[better], sides[better] = left[better], side[better]
    return best, sides


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction (1979) of several p-values; nan stays nan and does not count."""
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return corrected
