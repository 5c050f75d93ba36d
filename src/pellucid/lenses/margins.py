"""How far is every example from where the network would decide otherwise?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import Classifier, evaluating, find_classifier, first_tensor
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.margins import Margins, MarginSummary

__all__ = ["measure_margins"]

_CHUNK = 512
_KINDS = {
    "output": ("output margin", "exact", "logits"),
    "cosine": ("cosine margin", "exact", "cosine"),
    "angle": ("angular margin", "exact", "degrees"),
    "feature_distance": ("distance in feature space", "exact", "features' unit"),
    "input_distance": ("distance in the input", "linearised", "input's unit"),
    "slice_distance": ("distance within a slice", "exact in the slice", "input's unit"),
}


def measure_margins(
    model: nn.Module,
    loader: Batches,
    *,
    input_distance: bool = True,
    competitors: int = 10,
    slice_distance: Any = None,
    split: str = "",
    class_names: Sequence[str] = (),
) -> Margins:
    """The output margin, the angle to the classifier's rows, and distances to the boundary, of every example.

    With logits z, features h, classifier rows w, label y and prediction p:

    * output margin: z_y − max_{j≠y} z_j;
    * cosine margin: cos∠(h, w_y) − max_{j≠y} cos∠(h, w_j), and the same of angles;
    * distance in feature space: min_j (z_p − z_j)/‖w_p − w_j‖, exact, since there the decision is linear;
    * distance in the input: min_j (z_p − z_j)/‖∇ₓ(z_p − z_j)‖, the distance to the boundary of the network's
      linearisation at the example (Elsayed et al. 2018, equation 7). It is exact only where no kink lies in between.

    Distances are given a minus where the prediction is wrong.

    Args:
        model: A classifier that returns (examples, classes); it is left as it is.
        loader: (inputs, class numbers) batches.
        input_distance: Whether to spend a backward pass a competitor on the distance in the input.
        competitors: How many other classes to look at there, those with the largest outputs first.
        slice_distance: (examples,) exact distances within a slice, to stand beside the linearised one, such as those
            of ``measure_linear_regions(model, slice_).distance(points)``; nan for examples that are not in it.
        split: What to call the data.
        class_names: What the classes are called.

    Raises:
        DataError: an output is not finite, a label is out of range, or there are no examples.
        SettingsError: the model gives fewer than two outputs.

    >>> linear = nn.Linear(2, 2, bias=False)
    >>> _ = linear.weight.data.copy_(torch.eye(2))  # the boundary is x₁ = x₂
    >>> found = measure_margins(linear, (torch.tensor([[3.0, 1.0]]), torch.tensor([0])))
    >>> float(found.output[0]), round(float(found.input_distance[0]), 6)  # 2 / √2
    (2.0, 1.414214)
    """
    if competitors < 1:
        raise SettingsError("no competitor is to be looked at", place="competitors", remedy="give at least 1")
    first, _ = next(iter(batches_of(loader, size=1)))
    classifier, notes = _classifier_of(model, first)
    if input_distance and not first.is_floating_point():
        notes.append("no distance in the input: it is not of real numbers")
        input_distance = False
    parts = [
        _measure(batch, classifier, competitors if input_distance else 0)
        for batch in _run(model, loader, classifier, follow=input_distance)
    ]
    found = {name: torch.cat([one[name] for one in parts]).cpu().numpy() for name in parts[0]}
    classes = int(found.pop("classes")[0])
    return _describe(
        found,
        classes=classes,
        classifier=classifier,
        slice_distance=slice_distance,
        competitors=min(competitors, classes - 1) if input_distance else 0,
        split=split,
        class_names=class_names,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Batch:
    inputs: Tensor
    labels: Tensor
    outputs: Tensor
    features: Tensor | None
    start: int


def _classifier_of(model: nn.Module, inputs: Tensor) -> tuple[Classifier | None, list[str]]:
    """The last linear layer, or why there is none."""
    try:
        return find_classifier(model, inputs.to(_device_of(model))), []
    except SettingsError as error:
        return None, [f"no cosine margin and no distance in feature space: {error.message}"]


def _device_of(model: nn.Module) -> torch.device:
    return next((one.device for one in model.parameters()), torch.device("cpu"))


def _run(model: nn.Module, loader: Any, classifier: Classifier | None, *, follow: bool) -> Iterator[_Batch]:
    """One forward pass a batch, followed by autograd where gradients of the inputs are wanted."""
    held: list[Tensor] = []
    handle = (
        classifier.module.register_forward_pre_hook(lambda _module, given: held.append(given[0]))
        if classifier
        else None
    )
    start = 0
    try:
        with evaluating(model):
            for given, labels in batches_of(loader, size=_CHUNK):
                held.clear()
                inputs = given.to(_device_of(model)).detach().requires_grad_(follow)
                with torch.set_grad_enabled(follow):
                    outputs = first_tensor(model(inputs))
                batch = _Batch(inputs, labels.to(outputs.device), outputs, held[-1] if held else None, start)
                _check(batch)
                yield batch
                start += len(labels)
    finally:
        if handle is not None:
            handle.remove()


def _check(batch: _Batch) -> None:
    outputs, labels = batch.outputs, batch.labels
    if outputs.dim() != 2 or outputs.shape[1] < 2 or len(outputs) != len(labels):
        raise SettingsError(
            f"outputs of shape {tuple(outputs.shape)} are no logits of at least two classes",
            place="model",
            remedy="measure a classifier that returns (examples, classes)",
        )
    wrong = ~torch.isfinite(outputs).all(dim=1)
    if bool(wrong.any()):
        raise DataError(
            f"{int(wrong.sum())} outputs are not finite",
            place=f"example {batch.start + int(wrong.int().argmax())}",
            remedy="look for NaN among the inputs and the weights",
        )
    if labels.dim() != 1 or (labels.is_floating_point() and bool((labels != labels.round()).any())):
        raise DataError("labels are no class numbers", place="labels", remedy="give one whole number an example")
    outside = (labels < 0) | (labels >= outputs.shape[1])
    if bool(outside.any()):
        place = int(outside.int().argmax())
        raise DataError(
            f"label {labels[place].item()} is no class number from 0 to {outputs.shape[1] - 1}",
            place=f"example {batch.start + place}",
            remedy="number the classes from 0",
        )


def _measure(batch: _Batch, classifier: Classifier | None, competitors: int) -> dict[str, Tensor]:
    """Every margin of a batch."""
    z, y = batch.outputs.detach().double(), batch.labels.long()
    p = z.argmax(dim=1)
    sign = torch.where(p == y, 1.0, -1.0).double()
    found = {
        "classes": torch.full((len(z),), z.shape[1]),
        "labels": y.int(),
        "predictions": p.int(),
        "output": _over_others(z, y).float(),
    }
    if classifier is not None and batch.features is not None:
        h, weight = batch.features.detach().double(), classifier.weight.double()
        norms = h.norm(dim=1, keepdim=True) * weight.norm(dim=1)
        cosines = torch.where(norms > 0, h @ weight.T / norms, torch.nan).clamp(-1, 1)
        found["cosine"] = _over_others(cosines, y).float()
        found["angle"] = _over_others(-torch.rad2deg(torch.arccos(cosines)), y).float()
        found["feature_distance"] = (sign * _feature_distance(z, p, weight)).float()
    if competitors:
        found["input_distance"] = (sign * _input_distance(batch, p, competitors)).float()
    return found


def _over_others(values: Tensor, y: Tensor) -> Tensor:
    """The label's value minus the largest of the others."""
    own = values.gather(1, y[:, None])[:, 0]
    return own - values.scatter(1, y[:, None], -math.inf).amax(dim=1)


def _feature_distance(z: Tensor, p: Tensor, weight: Tensor) -> Tensor:
    """min_j (z_p − z_j)/‖w_p − w_j‖; classes with equal rows have no boundary between them."""
    apart = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")[p]
    gaps = z.gather(1, p[:, None]) - z
    return torch.where(apart > 0, gaps / apart, math.inf).amin(dim=1)


def _input_distance(batch: _Batch, p: Tensor, competitors: int) -> Tensor:
    """The nearest boundary of the linearisation: one backward pass a competitor, for all examples together."""
    z = batch.outputs
    order = z.detach().scatter(1, p[:, None], -math.inf).argsort(dim=1, descending=True)
    count = min(competitors, z.shape[1] - 1)
    nearest = torch.full((len(z),), math.inf, dtype=torch.float64, device=z.device)
    for place in range(count):
        with torch.enable_grad():
            gaps = (z.gather(1, p[:, None]) - z.gather(1, order[:, place : place + 1]))[:, 0]
            total = gaps.sum()
        (slope,) = torch.autograd.grad(total, batch.inputs, retain_graph=place + 1 < count)
        steepness = slope.double().flatten(1).norm(dim=1)
        distance = torch.where(steepness > 0, gaps.detach().double() / steepness, math.inf)
        nearest = torch.minimum(nearest, distance)
    return nearest


def _describe(
    found: dict[str, np.ndarray],
    *,
    classes: int,
    classifier: Classifier | None,
    slice_distance: Any,
    competitors: int,
    split: str,
    class_names: Sequence[str],
    notes: tuple[str, ...],
) -> Margins:
    """The result, with a summary of each kind."""
    count = len(found["labels"])
    if slice_distance is not None:
        given = np.asarray(slice_distance, dtype=np.float32)
        if given.shape != (count,):
            raise SettingsError(
                f"distances of shape {given.shape} for {count} examples",
                place="slice_distance",
                remedy="give one an example, nan where there is none",
            )
        right = found["labels"] == found["predictions"]
        found["slice_distance"] = np.where(right, np.abs(given), -np.abs(given))
    if class_names and len(class_names) != classes:
        raise SettingsError(
            f"{len(class_names)} names for {classes} classes", place="class_names", remedy="give one a class"
        )
    empty = np.empty(0, dtype=np.float32)
    return Margins(
        split=split,
        layer=classifier.name if classifier else "",
        examples=count,
        classes=classes,
        class_names=tuple(class_names),
        accuracy=float((found["labels"] == found["predictions"]).mean()),
        competitors=competitors,
        labels=found["labels"],
        predictions=found["predictions"],
        **{name: found.get(name, empty) for name in _KINDS},
        summaries=tuple(_summary(name, found[name]) for name in _KINDS if name in found),
        notes=notes,
    )


def _summary(name: str, values: np.ndarray) -> MarginSummary:
    label, exactness, unit = _KINDS[name]
    usable = values[np.isfinite(values)].astype(np.float64)
    figures: dict[str, Callable[[np.ndarray], Any]] = {
        "mean": np.mean,
        "minimum": np.min,
        "low": lambda v: np.quantile(v, 0.05),
        "median": np.median,
        "high": lambda v: np.quantile(v, 0.95),
        "negative": lambda v: np.mean(v < 0),
    }
    taken = {key: float(figure(usable)) if len(usable) else math.nan for key, figure in figures.items()}
    return MarginSummary(name=name, label=label, exactness=exactness, unit=unit, measured=len(usable), **taken)
