"""Have a classifier's last features collapsed onto their class centres, and is the classifier aligned with them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.feature_walk import FeatureWalk, walk_model, walk_tensors
from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.core.collapse_measures import measure_collapse
from pellucid.core.outlier_geometry import area_under_curve, class_space_share, measure_orthogonality
from pellucid.core.residual_covariance import ResidualCovariance, decompose_squared_error, variability_index
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.collapse_description import describe_collapse
from pellucid.results.neural_collapse import NeuralCollapse

__all__ = ["measure_neural_collapse"]

_GIVEN_BATCH = 4096


@dataclass(frozen=True)
class _Question:
    """What is asked of one walk over the features."""

    weight: Tensor | None
    bias: Tensor | None
    classes: int | None
    overall: str
    covariance: bool
    weight_decay: float
    centres_from: FeatureWalk | None
    outliers: FeatureWalk | None


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
    covariance: bool = False,
    weight_decay: float = 0.0,
    outliers: Any = None,
    bootstrap: int = 0,
    seed: int = 0,
    memory: int = 1 << 30,
) -> NeuralCollapse:
    """Has the network collapsed? NC1–NC4 of Papyan, Han and Donoho (2020) and their relatives, in two passes.

    With r = h − μ_y, Ṁ the class means minus the global mean: NC1 = Tr(Σ_W Σ_B†)/C, computed as the mean of
    ‖Λ⁻¹UᵀṀ r‖² with ṀṀᵀ = UΛUᵀ, so that no features × features matrix is formed.

    Args:
        model: A classifier whose output comes from a linear layer; its input there are the features.
        loader: (inputs, class numbers) batches.
        features: In place of model and loader: (examples, features), or a loader of (features, class numbers) batches.
        labels: Their classes, (examples,) integers, unless ``features`` is a loader.
        weight: The classifier's, (classes, features); without it only the features are judged.
        bias: The classifier's, (classes,).
        centres_from: The training data, when ``loader`` is a test set: NC4 looks for the nearest *training* centre.
        classes: How many classes there are; found from the classifier, else from the labels.
        class_names: What they are called.
        split: What to call the data.
        overall: ``classes``: the global mean is that of the class means (the authors' notebook); ``examples``: of all.
        covariance: Also what needs a features × features matrix (8·d² bytes): VCI and, with a classifier, the three
            parts of the squared error.
        weight_decay: λ of ½λ(‖W‖² + ‖b‖²) in that error.
        outliers: Inputs that belong to no class (a loader, or a tensor; features where features were given), for NC5
            and NECO.
        bootstrap: So many resamples of the examples within each class give 95 % percentile intervals; each costs one
            measurement. Features must fit in ``memory``.
        seed: Of the resampling.
        memory: Bytes for keeping a model's features after its forward pass. What needs more is run through the model
            twice, and ``loader`` must then give the same examples both times.

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
    walk = _walk(model, loader, features, labels, memory)
    question = _Question(
        walk.weight if weight is None else torch.as_tensor(weight).detach(),
        walk.bias if bias is None else torch.as_tensor(bias).detach(),
        classes,
        overall,
        covariance,
        weight_decay,
        None if centres_from is None else _walk_again(model, centres_from, memory),
        None if outliers is None else _walk_foreign(model, outliers, memory),
    )
    centres, scatter, values = _measure(walk, question)
    intervals = _resample(walk, question, bootstrap, seed) if bootstrap else {}
    return describe_collapse(
        centres,
        scatter,
        question.weight,
        values,
        layer=walk.layer,
        split=split,
        class_names=tuple(class_names),
        intervals=intervals,
        resamples=bootstrap,
    )


def _measure(walk: FeatureWalk, question: _Question) -> tuple[Centres, ClassScatter, dict[str, float]]:
    """Both passes, and every measure."""
    weight, bias = question.weight, question.bias
    means = _first_pass(walk, question.classes or (None if weight is None else len(weight)))
    _check_classifier(weight, bias, means)
    centres = Centres.of(means, overall=question.overall)
    del means  # of many classes the sums weigh as much as the centres
    if int(centres.present.sum()) < 2:
        raise DataError(
            "only one class has examples, and collapse is about several",
            place="labels",
            remedy="give examples of at least two classes",
        )
    nearest = centres
    if question.centres_from is not None:
        nearest = Centres.of(_first_pass(question.centres_from, len(centres.counts)), overall=question.overall)
    scatter = ClassScatter(centres, weight, bias, nearest)
    full = ResidualCovariance(centres) if question.covariance else None
    shares: list[Tensor] = []
    for h, y, decided in walk.read():
        scatter.update(h, y, decided)
        if full is not None:
            full.update(h, y)
        if question.outliers is not None:
            shares.append(class_space_share(h, nearest))
    values = measure_collapse(scatter, weight, bias)
    if full is not None:
        values |= {"vci": variability_index(full)}
        values |= {} if weight is None else decompose_squared_error(full, weight, bias, question.weight_decay)
    if question.outliers is not None:
        values |= _beside_outliers(question.outliers, nearest, torch.cat(shares))
    return centres, scatter, values


def _beside_outliers(outliers: FeatureWalk, centres: Centres, own: Tensor) -> dict[str, float]:
    """NC5 and how well NECO's score tells the classes' examples from the others."""
    means, shares = ClassMeans(1, centres.means.shape[1], centres.means.device), []
    for h, y, _ in outliers.read():
        means.update(h, torch.zeros(len(y), dtype=torch.int64, device=h.device))
        shares.append(class_space_share(h, centres))
    return {
        "nc5": measure_orthogonality(centres, means.means()[0]),
        "neco_auroc": area_under_curve(own, torch.cat(shares)),
    }


def _resample(walk: FeatureWalk, question: _Question, times: int, seed: int) -> dict[str, tuple[float, float]]:
    """The middle 95 % of every measure over resamples."""
    if not walk.cheap:
        raise SettingsError(
            f"the features need more than the {walk.memory:,} bytes of memory that they may take, and every resample "
            "would run the model twice",
            place="bootstrap",
            remedy="raise memory=, or measure fewer examples",
        )
    generator = np.random.default_rng(seed)
    asked = replace(question, classes=question.classes or _count_classes(walk))
    drawn = [_measure(walk.resampled(generator), asked)[2] for _ in range(times)]
    found: dict[str, tuple[float, float]] = {}
    for name in drawn[0]:
        values = np.array([one.get(name, np.nan) for one in drawn])
        if np.isfinite(values).all():
            low, high = np.quantile(values, [0.025, 0.975])
            found[name] = (float(low), float(high))
    return found


def _walk(model: nn.Module | None, loader: Any, features: Any, labels: Any, memory: int) -> FeatureWalk:
    """What the caller gave."""
    if model is not None:
        if loader is None:
            raise SettingsError(
                "a model without data", place="loader", remedy="give a loader of (inputs, class numbers)"
            )
        return walk_model(model, lambda: batches_of(loader), memory=memory)
    if features is None:
        raise SettingsError(
            "there is nothing to measure", place="model", remedy="give model and loader, or features= and labels="
        )
    if labels is None:
        return walk_tensors(lambda: batches_of(features))
    return walk_tensors(lambda: batches_of((features, labels), size=_GIVEN_BATCH))


def _walk_again(model: nn.Module | None, data: Any, memory: int) -> FeatureWalk:
    """Other data of the same kind."""
    features, labels = (None, None) if model is not None else data
    return _walk(model, data, features, labels, memory)


def _walk_foreign(model: nn.Module | None, data: Any, memory: int) -> FeatureWalk:
    """Data without class numbers, or with some that do not matter."""
    if isinstance(data, Tensor | np.ndarray):
        data = (data, np.zeros(len(data), dtype=np.int64))
    return _walk_again(model, data, memory)


def _first_pass(walk: FeatureWalk, classes: int | None) -> ClassMeans:
    """The class means."""
    means = None
    for features, labels, _ in walk.read():
        if means is None:
            means = ClassMeans(classes or _count_classes(walk), features.shape[-1], features.device)
        means.update(features, labels)
    assert means is not None  # batches_of refuses empty data
    return means


def _count_classes(walk: FeatureWalk) -> int:
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
