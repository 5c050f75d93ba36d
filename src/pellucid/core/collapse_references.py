"""The geometries that collapse leads to, by the number of classes and features and by the examples of each class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.class_moments import Centres
from pellucid.core.collapse_geometry import measure_angles, normalised_gap

__all__ = ["Reference", "measure_imbalance", "measure_reference", "minority_of", "reference_of", "seli_grams"]

_SELI_CLASSES = 4096
"""Above so many classes the label matrix is not decomposed."""


@dataclass(frozen=True)
class Reference:
    """The arrangement of C directions in d dimensions that lie farthest apart.

    Attributes:
        name: ``simplex ETF``, ``orthoplex`` or ``softmax code``.
        largest_cosine: The largest cosine between two of them, smallest possible; nan where no closed form is known.
    """

    name: str
    largest_cosine: float


def reference_of(classes: int, width: int) -> Reference:
    """What the centres are at the optimum: a simplex up to C = d + 1, an orthoplex up to 2d, then a softmax code.

    The largest cosine of C > d + 1 vectors is at least 0, and 0 is reached up to C = 2d (Rankin 1955); the codes beyond
    are defined by an optimisation problem (Jiang et al. 2023) and lie strictly above 0.

    >>> reference_of(10, 512), reference_of(12, 8).name, reference_of(100, 8).name
    (Reference(name='simplex ETF', largest_cosine=-0.1111111111111111), 'orthoplex', 'softmax code')
    """
    if classes <= width + 1:
        return Reference("simplex ETF", -1.0 / (classes - 1))
    if classes <= 2 * width:
        return Reference("orthoplex", 0.0)
    return Reference("softmax code", math.nan)


def measure_reference(vectors: Tensor, stem: str, largest: float) -> dict[str, float]:
    """How far the closest pair of directions is above the reference of its regime.

    Args:
        vectors: (classes, features).
        stem: ``centres`` or ``classifier``.
        largest: The largest cosine between two of them.
    """
    ideal = reference_of(*vectors.shape).largest_cosine
    return {f"largest_cosine_{stem}": largest, f"reference_gap_{stem}": largest - (0.0 if math.isnan(ideal) else ideal)}


def seli_grams(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrices of class embeddings and classifier rows of the simplex-encoded-labels interpolation, up to scale.

    The encoded labels Ẑ = PY = VΛUᵀ with P = I − 11ᵀ/C have ẐẐᵀ = P diag(n) P; the classifier's Gram matrix is VΛVᵀ
    and that of the embeddings UΛUᵀ, which is VΛ⁻¹Vᵀ between classes (Thrampoulidis et al. 2022, definition 2).

    Args:
        counts: Examples a class, none of them 0.

    >>> centres, rows = seli_grams(torch.tensor([5, 5, 5]))
    >>> torch.allclose(rows / rows.norm(), centres / centres.norm())
    True
    """
    count = len(counts)
    projector = torch.eye(count, dtype=torch.float64, device=counts.device) - 1 / count
    values, vectors = torch.linalg.eigh(projector @ torch.diag(counts.double()) @ projector)
    values, vectors = values[1:].clamp_(min=0).sqrt(), vectors[:, 1:]  # the first belongs to the vector of ones
    return (vectors / values) @ vectors.T, (vectors * values) @ vectors.T


def minority_of(counts: Tensor) -> Tensor:
    """Classes that have examples, but at most half as many as the largest class: a mask."""
    return (counts > 0) & (2 * counts <= counts.max())


def measure_imbalance(centres: Centres, weight: Tensor | None) -> dict[str, float]:
    """How the geometry answers to classes of unequal size: the angles of the minority, and the gap to SELI.

    Empty where all classes are of one size, or where there are too many to decompose.
    """
    present = centres.present
    counts = centres.counts[present]
    if bool((counts == counts[0]).all()) or len(counts) > _SELI_CLASSES:
        return {}
    kept, small = centres.centred[present], minority_of(counts)
    rows = None if weight is None else weight.double()[present.to(weight.device)].to(kept.device)
    ideal, ideal_rows = seli_grams(counts)
    found = {"seli_centres": normalised_gap(kept @ kept.T, ideal)}
    if rows is not None:
        found["seli_classifier"] = normalised_gap(rows @ rows.T, ideal_rows)
    if int(small.sum()) > 1:
        found["minority_cosine_centres"] = measure_angles(kept[small]).mean
        if rows is not None:
            found["minority_cosine_classifier"] = measure_angles(rows[small]).mean
    return found
