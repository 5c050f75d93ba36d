"""What calibration is measured by: reliability bins, calibration errors, and the parts of the Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = [
    "Binning",
    "BrierParts",
    "ReliabilityBins",
    "bin_edges",
    "bin_reliability",
    "classwise_errors",
    "decompose_brier",
    "log_likelihood",
    "probabilities_of",
]

Binning = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """How often the prediction was right, by how sure the network was."""

    binning: Binning  # "width": equal widths; "mass": equal numbers of examples, equal confidences kept together
    edges: np.ndarray  # (bins + 1,): a bin holds its lower edge; the last one both
    counts: np.ndarray  # (bins,) examples
    confidence: np.ndarray  # (bins,) their mean; nan for an empty bin
    accuracy: np.ndarray  # (bins,) share that was right; nan for an empty bin
    low: np.ndarray  # (bins,) 2.5 % quantile of the accuracy over bootstrap samples; nan where not asked for
    high: np.ndarray  # (bins,) 97.5 %
    error: float  # Σ count ÷ examples × |accuracy − confidence|
    largest: float  # the largest |accuracy − confidence| of a bin that is not empty


@dataclass(frozen=True)
class BrierParts:
    """The Brier score Σₖ (pₖ − yₖ)² in parts: reliability − resolution + uncertainty + spread − covariance.

    The first three are Murphy's (1973), the others what binning adds (Stephenson, Coelho and Jolliffe 2008).
    """

    score: float  # mean over examples, summed over classes: 0 to 2
    reliability: float  # how far the bins' frequencies are from their mean probabilities
    resolution: float  # how far the bins' frequencies are from the class's share
    uncertainty: float  # of the labels themselves
    within_spread: float  # variance of the probabilities inside the bins
    within_covariance: float  # twice their covariance with the labels inside the bins
    bins: int  # for each class, of equal width


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Softmax of every row, in float64."""
    z = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats of rows whose exponentials are proportional to the probabilities."""
    z = np.asarray(logits, dtype=np.float64)
    top = z.max(axis=1)
    total = np.log(np.exp(z - top[:, None]).sum(axis=1))
    # An infinite loss (a true class of probability 0) is the answer then, and not an error.
    return float((total - (z[np.arange(len(z)), labels] - top)).mean())


def bin_reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int, binning: Binning, *, resamples: int = 0, seed: int = 0
) -> ReliabilityBins:
    """Sort examples by their confidence and compare each bin's mean confidence with its accuracy.

    A bin is [lower, upper), the last one closed, so that a confidence of exactly 1 belongs to it.
    """
    edges = bin_edges(confidence, bins, binning)
    count = len(edges) - 1
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, count - 1)
    right = np.asarray(correct, dtype=np.float64)
    counts = np.bincount(place, minlength=count)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, minlength=count) / counts
        accuracy = np.bincount(place, right, minlength=count) / counts
    low = high = np.full(count, np.nan)
    if resamples:
        low, high = _bands(place, right, count, resamples, seed)
    gap = np.abs(accuracy - mean)[counts > 0]
    return ReliabilityBins(
        binning=binning,
        edges=edges,
        counts=counts,
        confidence=mean,
        accuracy=accuracy,
        low=low,
        high=high,
        error=float(np.sum(gap * counts[counts > 0]) / len(right)),
        largest=float(gap.max()),
    )


def bin_edges(confidence: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    """Equal widths from 0 to 1, or order statistics; equal confidences never come apart, so bins may be fewer."""
    if binning == "width":
        return np.arange(bins + 1) / bins  # unlike linspace these are the nearest numbers to k ÷ bins
    ordered = np.sort(confidence)
    inner = ordered[np.arange(1, bins) * len(ordered) // bins]
    return np.concatenate([[0.0], np.unique(inner[inner > ordered[0]]), [1.0]])


def classwise_errors(probabilities: np.ndarray, labels: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    """(classes,): the calibration error of every column as the probability of its class."""
    columns = range(probabilities.shape[1])
    return np.array([bin_reliability(probabilities[:, k], labels == k, bins, binning).error for k in columns])


def decompose_brier(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> BrierParts:
    """The parts of the Brier score, each summed over classes; they add up to it but for rounding."""
    total = np.zeros(6)
    for k in range(probabilities.shape[1]):
        p, y = probabilities[:, k], (labels == k).astype(np.float64)
        place = np.clip(np.searchsorted(bin_edges(p, bins, "width"), p, side="right") - 1, 0, bins - 1)
        counts = np.bincount(place, minlength=bins)
        filled = np.maximum(counts, 1)
        mean = np.bincount(place, p, minlength=bins) / filled
        share = np.bincount(place, y, minlength=bins) / filled
        weight, base = counts / len(y), y.mean()
        total += (
            ((p - y) ** 2).mean(),
            weight @ (mean - share) ** 2,
            weight @ (share - base) ** 2,
            base * (1 - base),
            ((p - mean[place]) ** 2).mean(),
            2 * ((p - mean[place]) * (y - share[place])).mean(),
        )
    return BrierParts(*(float(part) for part in total), bins=bins)


def _bands(place: np.ndarray, right: np.ndarray, bins: int, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of every bin's accuracy when examples are drawn again with replacement.

    Only the counts of (bin, right or wrong) matter, and those of a bootstrap sample are multinomial.
    """
    cells = np.bincount(2 * place + (right > 0), minlength=2 * bins)
    drawn = np.random.default_rng(seed).multinomial(len(place), cells / len(place), size=resamples)
    wrong, good = drawn[:, 0::2], drawn[:, 1::2]
    held = wrong + good
    with np.errstate(invalid="ignore"):
        shares = good / held
    low, high = np.full(bins, np.nan), np.full(bins, np.nan)
    seen = (held > 0).any(axis=0)
    low[seen], high[seen] = np.nanquantile(shares[:, seen], [0.025, 0.975], axis=0)
    return low, high
