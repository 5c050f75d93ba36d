"""Mutual information of a layer with its input and with the labels: by bins, and by bounds on a mixture's entropy.

All in bits. Every example counts as one equally likely input, so that H(X) = log₂ n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["KernelInformation", "binned_information", "kernel_information", "label_entropy"]

_BLOCK = 1024


@dataclass(frozen=True)
class KernelInformation:
    """What the two bounds of Kolchinsky and Tracey (2017) say."""

    x_low: float  # I(X;T) is at least
    x_high: float  # and at most
    y: float  # upper bound of H(T) minus upper bounds of H(T|y), as Saxe et al. (2018) draw: an estimate, no bound
    y_low: float  # I(T;Y) is at least: lower bound of H(T) minus upper bounds of H(T|y); never below 0
    y_high: float  # at most: upper minus lower; never above H(Y)


def label_entropy(labels: np.ndarray) -> float:
    """H(Y) in bits."""
    return _entropy(np.unique(labels, return_counts=True)[1])


def binned_information(activations: np.ndarray, labels: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """I(X;T) and I(T;Y) when every unit is rounded to a bin.

    A network without noise gives H(T|X) = 0, so I(X;T) = H(T); I(T;Y) = H(T) − Σ p(y) H(T|y). Values outside the edges
    fall in the outermost bins.

    Args:
        activations: (examples, units).
        labels: (examples,).
        edges: Rising; between each two lies a bin.

    >>> binned_information(np.array([[0.1], [0.2], [0.8], [0.9]]), np.array([0, 0, 1, 1]), np.array([0, 0.5, 1.0]))
    (1.0, 1.0)
    """
    cells = np.clip(np.searchsorted(edges, activations, side="right") - 1, 0, len(edges) - 2)
    _, codes = np.unique(cells.astype(np.int32), axis=0, return_inverse=True)
    whole = _entropy(np.bincount(codes.ravel()))
    parts = [(labels == y).mean() * _entropy(np.bincount(codes.ravel()[labels == y])) for y in np.unique(labels)]
    return whole, float(whole - sum(parts))


def kernel_information(activations: np.ndarray, labels: np.ndarray, variance: float) -> KernelInformation:
    """Bounds for T + ε, ε ~ N(0, σ²I): the distribution is then a mixture of one Gaussian an example.

    Its entropy less that of the noise, which is I(X; T + ε), lies between −(1/n) Σᵢ log (1/n) Σⱼ exp(−D(i, j)) with
    the Chernoff distance D = ‖tᵢ − tⱼ‖²/8σ² and with the Kullback-Leibler distance D = ‖tᵢ − tⱼ‖²/2σ².

    Args:
        activations: (examples, units).
        labels: (examples,).
        variance: σ² of the noise that is supposed; the picture depends on it.
    """
    t = np.asarray(activations, dtype=np.float64)
    low, high = _mixture(t, variance)
    inside = [((labels == y).mean(), *_mixture(t[labels == y], variance)) for y in np.unique(labels)]
    low_inside, high_inside = (sum(part[0] * part[k] for part in inside) for k in (1, 2))
    return KernelInformation(
        x_low=low,
        x_high=high,
        y=high - high_inside,
        y_low=max(low - high_inside, 0.0),
        y_high=min(high - low_inside, label_entropy(labels)),
    )


def _mixture(t: np.ndarray, variance: float) -> tuple[float, float]:
    """Lower and upper bound of I(X; T + ε) in bits, block by block."""
    size = (t * t).sum(axis=1)
    sums = np.zeros(2)
    for start in range(0, len(t), _BLOCK):
        part = t[start : start + _BLOCK]
        squared = np.maximum(size[start : start + _BLOCK, None] + size - 2 * part @ t.T, 0.0)
        squared[np.arange(len(part)), np.arange(start, start + len(part))] = 0.0
        for place, width in enumerate((8.0, 2.0)):
            # An example's distance from itself is 0, so no sum is below 1/n and nothing underflows.
            sums[place] -= np.log2(np.exp(-squared / (width * variance)).mean(axis=1)).sum()
    low, high = sums / len(t)
    return float(low), float(high)


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0
