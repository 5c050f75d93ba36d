"""The published measures of neural collapse, from class centres, the scatter about them and the classifier."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.core.class_moments import Centres, ClassScatter
from pellucid.core.collapse_geometry import distance_variance, measure_angles, normalised_gap, paired_cosines, spread
from pellucid.core.collapse_references import measure_imbalance, measure_reference

__all__ = [
    "measure_centres",
    "measure_classifier",
    "measure_collapse",
    "measure_decisions",
    "measure_duality",
    "measure_variability",
]

_SIMPLEX_CLASSES = 4096
"""Zhu's forms need the classes × classes matrix in one piece; above this they are left out."""


def measure_collapse(scatter: ClassScatter, weight: Tensor | None, bias: Tensor | None) -> dict[str, float]:
    """Every measure of one set of features and of the classifier on top, if there is one, by its name."""
    centres = scatter.centres
    found = measure_variability(scatter) | measure_centres(centres) | measure_imbalance(centres, weight)
    if weight is None:
        return found
    found |= measure_classifier(_rows(weight, centres.present)) | measure_duality(centres, weight, bias)
    return found | measure_decisions(scatter)


def measure_variability(scatter: ClassScatter) -> dict[str, float]:
    """NC1 in its forms: how small the within-class scatter is beside the distances of the centres."""
    centres = scatter.centres
    present, counts = centres.present, centres.counts.double()
    examples, classes = float(counts.sum()), int(present.sum())
    nc1 = float(scatter.projected.sum()) / examples
    within, between = float(scatter.squared.sum()) / examples, float(centres.strengths.sum()) / classes
    own = (scatter.squared / counts)[present]
    mean, largest = distance_variance(_rows(centres.centred, present), own)
    rank = len(centres.strengths)
    # Along each of the centres' directions: signal λ/C beside noise, mean squared residual.
    noise = scatter.along / examples
    return {
        "nc1": nc1 if rank else math.nan,
        "nc1_notebook": nc1 * classes if rank else math.nan,
        "trace_ratio": within / between if between > 0 else math.nan,
        "cdnv": mean,
        "cdnv_largest": largest,
        "signal_to_noise": float((centres.strengths / classes).sum() / noise.sum())
        if float(noise.sum()) > 0
        else math.inf,
        "noise_inside": float(scatter.inside.sum() / scatter.squared.sum()) if within > 0 else math.nan,
    }


def measure_centres(centres: Centres) -> dict[str, float]:
    """NC2 of the class centres: equal lengths, equal and maximal angles."""
    return _configuration(_rows(centres.centred, centres.present), "centres")


def measure_classifier(weight: Tensor) -> dict[str, float]:
    """NC2 of the classifier's rows."""
    return _configuration(weight.double(), "classifier")


def _configuration(vectors: Tensor, stem: str) -> dict[str, float]:
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    angles = measure_angles(vectors)
    found = measure_reference(vectors, stem, angles.largest) | {
        f"equinorm_{stem}": spread(lengths),
        f"equinorm_{stem}_notebook": spread(lengths, unbiased=True),
        f"equiangular_{stem}": angles.std,
        f"maximal_angle_{stem}": angles.from_simplex,
        f"hyperspherical_{stem}": angles.log_std / abs(angles.log_mean) if angles.log_mean else math.nan,
    }
    if len(vectors) <= _SIMPLEX_CLASSES:
        # By the Gram matrix VVᵀ, as Zhu et al. compare WWᵀ with the simplex's.
        found[f"nc2_zhu_{stem}"] = normalised_gap(vectors @ vectors.T, _simplex(len(vectors), vectors))
    return found


def _rows(matrix: Tensor, present: Tensor) -> Tensor:
    """The rows of the classes that have examples; the matrix itself if all have."""
    return matrix if bool(present.all()) else matrix[present.to(matrix.device)]


def _simplex(classes: int, like: Tensor) -> Tensor:
    """I − 11ᵀ/C, the Gram matrix of a simplex ETF up to scale."""
    return torch.eye(classes, dtype=like.dtype, device=like.device) - 1 / classes


def measure_duality(centres: Centres, weight: Tensor, bias: Tensor | None) -> dict[str, float]:
    """NC3: classifier rows and class centres agree up to one scale."""
    kept, rows = _rows(centres.centred, centres.present), _rows(weight, centres.present)
    gap = normalised_gap(rows, kept)
    cosines = paired_cosines(rows, kept)
    found = {"nc3": gap, "nc3_squared": gap**2, "nc3_cosine": float(cosines.mean()), "unc3": abs(spread(cosines))}
    if len(kept) <= _SIMPLEX_CLASSES:
        found["nc3_zhu"] = normalised_gap(rows.double() @ kept.T, _simplex(len(kept), kept))
    lift = torch.cat([part.double() @ centres.overall for part in weight.split(_SIMPLEX_CLASSES)])
    found["bias_zhu"] = float(torch.linalg.vector_norm(lift if bias is None else lift + bias.double()))
    return found


def measure_decisions(scatter: ClassScatter) -> dict[str, float]:
    """NC4: how often the classifier differs from the nearest centre, and how often each is right."""
    examples = float(scatter.centres.counts.sum())
    return {
        "nc4": float(scatter.mismatched.sum()) / examples,
        "accuracy": float(scatter.right.sum()) / examples,
        "nearest_centre_accuracy": float(scatter.right_by_centre.sum()) / examples,
    }
