"""How far a regression network's last features have collapsed onto as many directions as there are targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.collapse_quantities import CollapseQuantities, CollapseQuantity

__all__ = ["RegressionCollapse"]


@dataclass(frozen=True, eq=False)
class RegressionCollapse(CollapseQuantities):
    """NRC1–NRC3 of the features below a network's last linear layer."""

    schema: ClassVar[str] = "regression_collapse/1"

    layer: str  # the module whose input the features are; '' for features that were given
    split: str  # '' where nobody said
    examples: int
    features: int
    targets: int
    target_names: tuple[str, ...]
    quantities: tuple[CollapseQuantity, ...]
    error: float  # mean squared error of Wh + b
    gamma: float  # the γ at which NRC3 is least, as a share of the covariance's smallest eigenvalue's root
    gammas: np.ndarray  # (points,) γ^(1/2) as a share of λ_min^(1/2), 0–1
    nrc3_curve: np.ndarray  # (points,) NRC3 at each
    spectrum: np.ndarray  # (features,) share of the features' variance along each principal direction, falling
    gram: np.ndarray  # (targets, targets) W Wᵀ
    ideal_gram: np.ndarray  # the same shape: Σ^(1/2) − γ^(1/2) I, scaled to W Wᵀ's norm
