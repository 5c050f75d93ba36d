"""Have a classifier's last features collapsed onto their class centres, and is the classifier aligned with them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import find_classifier, read_features
from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.core.collapse_geometry import unit_rows
from pellucid.core.collapse_measures import (
    measure_centres,
    measure_classifier,
    measure_decisions,
    measure_duality,
    measure_variability,
)
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.collapse_catalogue import CATALOGUE, Measure
from pellucid.results.neural_collapse import CollapseQuantity, NeuralCollapse

__all__ = ["measure_neural_collapse"]

_MOST_COSINES = 1024
_Batch = tuple[Tensor, Tensor, "Tensor | None"]


@dataclass(frozen=True)
class _Walk:
    """Features to be read twice, and the classifier on top of them."""

    read: Callable[[], Iterator[_Batch]]
    layer: str
    weight: Tensor | None
    bias: Tensor | None


def measure_neural_collapse(
    model: nn.Module | None = None,
    loader: Batches | None = None,
    *,
    features: Any = None,
    labels: Any = None,
    weight: Any = None,
    bias: Any = None,
    centres_from: Any = None,
    classes: int | None = None,
    class_names: Sequence[str] = (),
    split: str = "",
    overall: str = "classes",
) -> NeuralCollapse:
    """Has the network collapsed? NC1–NC4 of Papyan, Han and Donoho (2020) and their relatives, in two passes.

    With r = h − μ_y, Ṁ the class means minus the global mean: NC1 = Tr(Σ_W Σ_B†)/C, computed as the mean of
    ‖Λ⁻¹UᵀṀ r‖² with ṀṀᵀ = UΛUᵀ, so that no features × features matrix is formed.

    Args:
        model: A classifier whose output comes from a linear layer; its input there are the features.
        loader: (inputs, class numbers) batches, walked twice.
        features: In place of model and loader: (examples, features).
        labels: Their classes, (examples,) integers.
        weight: The classifier's, (classes, features); without it only the features are judged.
        bias: The classifier's, (classes,).
        centres_from: The training data, when ``loader`` is a test set: NC4 looks for the nearest *training* centre.
        classes: How many classes there are; found from the classifier, else from the labels.
        class_names: What they are called.
        split: What to call the data.
        overall: ``classes``: the global mean is that of the class means (the authors' notebook); ``examples``: of all.

    Returns:
        Every measure with its convention, source and rounding error: 0 (or ``collapsed``) is full collapse.

    Raises:
        DataError: fewer than two classes have examples, or features or labels cannot be used.
        SettingsError: the arguments contradict each other, or the model's last layer is not linear.

    >>> eye = torch.eye(3)
    >>> found = measure_neural_collapse(features=eye.repeat(4, 1), labels=torch.arange(3).repeat(4), weight=eye - 1 / 3)
    >>> round(found["nc1"], 12), round(found["nc3"], 7)
    (0.0, 0.0)
    """
    walk = _walk_model(model, loader) if model is not None else _walk_features(features, labels)
    weight = walk.weight if weight is None else torch.as_tensor(weight)
    bias = walk.bias if bias is None else torch.as_tensor(bias)
    means = _first_pass(walk, classes or (None if weight is None else len(weight)))
    _check_classifier(weight, bias, means)
    found = Centres.of(means, overall=overall)
    if int(found.present.sum()) < 2:
        raise DataError(
            "only one class has examples, and collapse is about several",
            place="labels",
            remedy="give examples of at least two classes",
        )
    nearest = found
    if centres_from is not None:
        other = _walk_model(model, centres_from) if model is not None else _walk_features(*centres_from)
        nearest = Centres.of(_first_pass(other, means.classes), overall=overall)
    scatter = ClassScatter(found, weight, bias, nearest)
    for h, y, decided in walk.read():
        scatter.update(h, y, decided)
    return _describe(found, scatter, weight, bias, layer=walk.layer, split=split, class_names=tuple(class_names))


def _describe(
    centres: Centres,
    scatter: ClassScatter,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    layer: str,
    split: str,
    class_names: tuple[str, ...],
) -> NeuralCollapse:
    """Every measure, beside what it was computed from."""
    present = centres.present
    values = measure_variability(scatter) | measure_centres(centres)
    decided = {"accuracy": float("nan"), "nearest_centre_accuracy": float("nan"), "nc4": float("nan")}
    if weight is not None:
        values |= measure_classifier(weight[present.to(weight.device)]) | measure_duality(centres, weight, bias)
        decided = measure_decisions(scatter)
        values["nc4"] = decided["nc4"]
    errors = _rounding(scatter, values)
    counts = centres.counts
    kept = centres.centred[present]
    cosines = unit_rows(kept) @ unit_rows(kept).T if len(kept) <= _MOST_COSINES else kept.new_zeros(0, 0)
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
        reference=_reference(int(present.sum()), width),
        accuracy=decided["accuracy"],
        nearest_centre_accuracy=decided["nearest_centre_accuracy"],
        quantities=tuple(_quantity(name, one, values, errors) for name, one in CATALOGUE.items() if name in values),
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


def _quantity(name: str, one: Measure, values: dict[str, float], errors: dict[str, float]) -> CollapseQuantity:
    return CollapseQuantity(
        name=name,
        group=one.group,
        label=one.label,
        formula=one.formula,
        value=values[name],
        collapsed=one.collapsed,
        error=errors.get(name, float("nan")),
        source=one.source,
        note=one.note,
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
        if name != "nc4"
    }


def _reference(classes: int, width: int) -> str:
    """What the centres would be at the global optimum, by the regime (Papyan et al. 2020; Jiang et al. 2023)."""
    if classes <= width + 1:
        return "simplex ETF"
    return "orthoplex" if classes <= 2 * width else "softmax code"


def _walk_model(model: nn.Module, loader: Batches | None) -> _Walk:
    """The features of a model's classifier."""
    if loader is None:
        raise SettingsError("a model without data", place="loader", remedy="give a loader of (inputs, class numbers)")
    first, _ = next(iter(batches_of(loader)))
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    classifier = find_classifier(model, first[:1].to(where))

    def read() -> Iterator[_Batch]:
        for batch in read_features(model, batches_of(loader), classifier):
            yield batch.features, batch.targets, batch.outputs.argmax(dim=1)

    return _Walk(read, classifier.name, classifier.weight, classifier.bias)


def _walk_features(features: Any, labels: Any) -> _Walk:
    """Features that were given."""
    if features is None or labels is None:
        raise SettingsError(
            "there is nothing to measure", place="model", remedy="give model and loader, or features= and labels="
        )

    def read() -> Iterator[_Batch]:
        for h, y in batches_of((features, labels), size=4096):
            yield h, y, None

    return _Walk(read, "", None, None)


def _first_pass(walk: _Walk, classes: int | None) -> ClassMeans:
    """The class means."""
    means = None
    for features, labels, _ in walk.read():
        if means is None:
            means = ClassMeans(classes or _count_classes(walk), features.shape[-1], features.device)
        means.update(features, labels)
    assert means is not None  # batches_of refuses empty data
    return means


def _count_classes(walk: _Walk) -> int:
    """One more than the largest label."""
    return 1 + max((int(labels.max()) for _, labels, _ in walk.read() if len(labels)), default=-1)


def _check_classifier(weight: Tensor | None, bias: Tensor | None, means: ClassMeans) -> None:
    shape = (means.classes, means.width)
    if weight is not None and tuple(weight.shape) != shape:
        raise SettingsError(
            f"a weight of shape {tuple(weight.shape)} does not go with {shape[0]} classes and {shape[1]} features",
            place="weight",
            remedy="give (classes, features)",
        )
    if bias is not None and tuple(bias.shape) != shape[:1]:
        raise SettingsError(
            f"a bias of shape {tuple(bias.shape)} does not go with {shape[0]} classes",
            place="bias",
            remedy="give (classes,)",
        )
