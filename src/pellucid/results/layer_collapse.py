"""How collapse progresses from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["CollapseLayer", "LayerCollapse"]


@dataclass(frozen=True)
class CollapseLayer:
    """The features that go into one layer."""

    name: str  # of the module that takes them
    shape: tuple[int, ...]  # of one example
    features: int  # after the reduction
    reduction: str  # "as it is", "mean over 7 × 7", "flattened"
    separation: float  # D = Tr(SS_W SS_B†) of He and Su 2023; nan where the centres coincide
    quantities: dict[str, float]  # the measures of neural collapse, by the names of ``NeuralCollapse``
    effective_rank: float  # exp of the entropy of the singular values (Roy, Vetterli 2007)
    participation: float  # (Σλ)² / Σλ² of the covariance
    rank: int  # singular values above a thousandth of the largest
    spectrum: np.ndarray  # eigenvalues of the features' covariance, largest first, at most 1,024
    spectrum_examples: int  # how many examples it comes from


@dataclass(frozen=True, eq=False)
class LayerCollapse(Result):
    """The measures of collapse at every depth, the law by which classes separate, and how alike layers are."""

    schema: ClassVar[str] = "layer_collapse/1"

    model: str
    split: str  # '' where nobody said
    examples: int
    classes: int
    accuracy: float  # of the model itself, 0–1
    layers: tuple[CollapseLayer, ...]  # in the order in which they run
    decay: float  # ρ of D_l ≈ ρ^l D_0; nan with fewer than two layers to fit
    decay_start: float  # D_0 of the fit
    decay_fit: float  # R² of log D over the layers, 0–1
    tunnel: int  # the first layer of the tunnel; −1 where there is none before the last
    tunnel_share: float  # what share of the last layer's accuracy counts as there already
    cka: np.ndarray  # (layers, layers) linear CKA, unbiased by batches
    cka_error: np.ndarray  # its standard error; nan for a single batch
    cka_batch: int  # examples of a batch of it

    def layer(self, name: str) -> CollapseLayer:
        """A layer by its module's name."""
        for one in self.layers:
            if one.name == name:
                return one
        raise KeyError(name)

    def along(self, name: str) -> np.ndarray:
        """One quantity over the layers: ``separation``, ``effective_rank``, ``nearest_centre_accuracy``, ``nc1`` …"""
        if all(name in one.quantities for one in self.layers):
            return np.array([one.quantities[name] for one in self.layers])
        if name in ("separation", "effective_rank", "participation", "rank", "features"):
            return np.array([float(getattr(one, name)) for one in self.layers])
        raise KeyError(name)
