"""Where features of foreign inputs lie beside the classes: orthogonal to them, or among them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.core.class_moments import Centres
from pellucid.core.collapse_geometry import unit_rows

__all__ = ["area_under_curve", "class_space_share", "measure_orthogonality"]


def measure_orthogonality(centres: Centres, foreign_mean: Tensor) -> float:
    """NC5 = mean over classes of |cos(μ_c, μ_foreign)|, from the origin (Ben Ammar et al. 2024, equation 5)."""
    kept, foreign = unit_rows(centres.means[centres.present]), unit_rows(foreign_mean.double()[None])
    if not bool(foreign.any()):
        return math.nan
    return float((kept @ foreign.T).abs().mean())


def class_space_share(features: Tensor, centres: Centres) -> Tensor:
    """‖P(h − g)‖/‖h − g‖ of each row: NECO's score with the span of the class centres as its principal space.

    In collapse this is what the first C − 1 principal components span, on which Ben Ammar et al. (2024, equation 6)
    project.
    """
    moved = features.double() - centres.overall
    lengths = torch.linalg.vector_norm(moved, dim=1)
    inside = torch.linalg.vector_norm(moved @ centres.directions.T, dim=1)
    return torch.where(lengths > 0, inside / lengths, 0.0)


def area_under_curve(higher: Tensor, lower: Tensor) -> float:
    """How often a value of the first exceeds one of the second, ties half: the area under the ROC curve.

    >>> area_under_curve(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    order = lower.sort().values
    below = torch.searchsorted(order, higher, right=False).double()
    up_to = torch.searchsorted(order, higher, right=True).double()
    return float((below + up_to).sum()) / 2 / (len(higher) * len(lower))
