"""A measurement of neural collapse put into words: each measure with its convention, limit and rounding error."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pellucid.core.class_moments import Centres, ClassScatter
from pellucid.core.collapse_geometry import unit_rows
from pellucid.core.collapse_references import reference_of
from pellucid.lenses.collapse_catalogue import CATALOGUE
from pellucid.results.collapse_quantities import CollapseQuantity
from pellucid.results.neural_collapse import NeuralCollapse

__all__ = ["describe_collapse"]

_MOST_COSINES = 1024

_UNSTATED = frozenset({"nc4", "vci", "mse_nc1", "mse_nc23", "mse_perp", "mse_loss", "neco_auroc"})
"""Counts, which do not round, and what passes through an inverse, whose rounding is not estimated."""


def describe_collapse(
    centres: Centres,
    scatter: ClassScatter,
    weight: Tensor | None,
    values: dict[str, float],
    *,
    layer: str = "",
    split: str = "",
    class_names: tuple[str, ...] = (),
    intervals: Mapping[str, tuple[float, float]] | None = None,
    resamples: int = 0,
) -> NeuralCollapse:
    """The result of a measurement.

    Args:
        centres: That the scatter was taken about.
        scatter: What lies about them.
        weight: The classifier's, (classes, features), if there is one.
        values: The measures by name.
        layer: Whose features they are.
        split: What to call the data.
        class_names: What the classes are called.
        intervals: Low and high of the measures that have an interval.
        resamples: How many resamples gave it.
    """
    present = centres.present
    errors, known, none = _rounding(scatter, values), intervals or {}, (math.nan, math.nan)
    counts = centres.counts
    units = unit_rows(centres.centred[present]) if int(present.sum()) <= _MOST_COSINES else centres.centred[:0]
    cosines = units @ units.T
    classes, width = centres.means.shape
    return NeuralCollapse(
        layer=layer,
        split=split,
        examples=int(counts.sum()),
        classes=classes,
        features=width,
        class_names=class_names,
        empty_classes=tuple(torch.nonzero(counts == 0).flatten().tolist()),
        single_classes=tuple(torch.nonzero(counts == 1).flatten().tolist()),
        reference=reference_of(int(present.sum()), width).name,
        accuracy=values.get("accuracy", math.nan),
        nearest_centre_accuracy=values.get("nearest_centre_accuracy", math.nan),
        resamples=resamples,
        quantities=tuple(
            _quantity(name, centres, values[name], error=errors.get(name, math.nan), interval=known.get(name, none))
            for name in CATALOGUE
            if name in values
        ),
        counts=counts.cpu().numpy(),
        within=(scatter.squared / counts).cpu().numpy(),
        centre_norms=torch.linalg.vector_norm(centres.centred, dim=1).cpu().numpy(),
        classifier_norms=np.zeros(0)
        if weight is None
        else torch.linalg.vector_norm(weight.double(), dim=1).cpu().numpy(),
        cosines=cosines.cpu().numpy(),
        strengths=centres.strengths.cpu().numpy(),
        strengths_within=(scatter.along / float(counts.sum())).cpu().numpy(),
        inside=values["noise_inside"],
    )


def _quantity(
    name: str, centres: Centres, value: float, *, error: float, interval: tuple[float, float]
) -> CollapseQuantity:
    one = CATALOGUE[name]
    reference = reference_of(int(centres.present.sum()), centres.means.shape[1])
    collapsed, note = one.collapsed, one.note
    if one.simplex and reference.name != "simplex ETF":
        collapsed = math.nan
        note = f"{note}; " * bool(note) + f"no simplex has so many classes: see the {reference.name}"
    if name.startswith("largest_cosine"):
        collapsed = reference.largest_cosine
    if name.startswith("reference_gap"):
        bound = "; a lower bound: 0 is not reached" if reference.name == "softmax code" else ""
        note = f"to the {reference.name}{bound}"
    return CollapseQuantity(
        name=name,
        group=one.group,
        label=one.label,
        formula=one.formula,
        value=value,
        collapsed=collapsed,
        error=error,
        source=one.source,
        note=note,
        low=interval[0],
        high=interval[1],
    )


def _rounding(scatter: ClassScatter, values: dict[str, float]) -> dict[str, float]:
    """How far float64 can have moved each measure, the features being taken as exact.

    A product of d terms is off by about u√d of their sizes (Higham and Mary 2019, in probability), its square by twice
    that; a centre is off by u of its distance from 0, which counts as much as it exceeds the residuals.
    """
    centres, unit = scatter.centres, torch.finfo(torch.float64).eps
    width = centres.means.shape[1]
    product = 2 * unit * width**0.5
    within = float(scatter.squared.sum() / centres.counts.sum()) ** 0.5
    offset = unit * float(centres.overall.norm())
    residual = product + (2 * offset / within if within > offset else 1.0)
    noisy = ("nc1", "nc1_notebook", "trace_ratio", "cdnv", "cdnv_largest", "signal_to_noise", "noise_inside")
    return {
        name: abs(value) * residual
        if name in noisy
        else product + offset / max(float(centres.strengths.sum()) ** 0.5, unit)
        for name, value in values.items()
        if name not in _UNSTATED
    }
