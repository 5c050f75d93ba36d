"""What does every layer keep of the input, and what does it know of the label?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import evaluating
from pellucid.core.information import binned_information, kernel_information, label_entropy
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.information_plane import InformationPlane, LayerInformation

__all__ = ["measure_information_plane"]

_CHUNK = 512
_Activations = Mapping[str, Any]


def measure_information_plane(
    model: nn.Module | Mapping[int, nn.Module] | None = None,
    loader: Batches | None = None,
    *,
    activations: _Activations | Mapping[int, _Activations] | None = None,
    labels: Any = None,
    layers: Sequence[str] | None = None,
    bins: int = 30,
    bin_range: tuple[float | int, float | int] | None = None,
    noise: float = 1e-3,
    most: int = 2000,
    split: str = "",
) -> InformationPlane:
    """Estimate I(X;T) and I(T;Y) of every layer by bins and by kernel bounds, of a model now or over epochs.

    Every example is taken as one equally likely input, as Shwartz-Ziv and Tishby (2017) and Saxe et al. (2018) do. A
    network without noise loses no information that a bin or a noise did not take: both are part of the result, since
    they decide the picture.

    Args:
        model: A network, or networks by epoch.
        loader: (inputs, class numbers) batches.
        activations: In place of both: {layer: (examples, …)}, or such by epoch.
        labels: (examples,) class numbers, with ``activations``.
        layers: Which modules' outputs to look at; by default the activation modules and the last layer, or, where a
            network has no activation modules, all its layers with weights.
        bins: For every unit, of equal width.
        bin_range: From where to where the bins go, such as (−1, 1) for tanh; by default each layer's own range over
            all epochs.
        noise: σ² of the Gaussian noise that the kernel bounds suppose.
        most: At most so many examples, evenly spread; the kernel bounds look at every pair.
        split: What to call the data.

    Returns:
        Bits. The kernel bounds hold for T + ε; the bins' figures for T rounded.

    Raises:
        DataError: an activation is not finite, a label is no class number, or there is nothing.
        SettingsError: the arguments contradict each other or a setting is out of range.

    Source: Kolchinsky and Tracey (2017), equations 10 and 13; Saxe et al. (2018), appendix.

    >>> t = np.array([[0.0], [0.0], [9.0], [9.0]])
    >>> found = measure_information_plane(activations={"t": t}, labels=[0, 0, 1, 1])
    >>> found.layers[0].binned_y.tolist(), found.layers[0].kernel_y.round(6).tolist()
    ([1.0], [1.0])
    """
    if bins < 1 or not noise > 0 or most < 2:
        raise SettingsError("bins, noise or most is out of range", place="bins", remedy="give 30, 1e-3 and 2000")
    if (model is None) == (activations is None) or (model is None) != (loader is None):
        raise SettingsError(
            "what to measure is not clear",
            place="measure_information_plane",
            remedy="give model and loader, or activations= and labels=",
        )
    if model is not None:
        models = model if isinstance(model, Mapping) else {-1: model}
        x, y = _examples(loader, most)
        by_epoch = {int(epoch): _outputs(one, x, layers) for epoch, one in sorted(models.items())}
    else:
        by_epoch, y = _given(activations, labels, layers, most)
    if not by_epoch:
        raise DataError("there is no epoch", place="activations", remedy="give at least one")
    numbers = _check_labels(y)
    names = _common_layers(by_epoch)
    return InformationPlane(
        split=split,
        examples=len(numbers),
        classes=len(np.unique(numbers)),
        epochs=tuple(by_epoch),
        input_entropy=float(np.log2(len(numbers))),
        label_entropy=label_entropy(numbers),
        noise=float(noise),
        layers=tuple(
            _measure(
                name,
                [one[name] for one in by_epoch.values()],
                numbers,
                bins=bins,
                bin_range=bin_range,
                noise=noise,
            )
            for name in names
        ),
    )


def _measure(
    name: str,
    moments: list[np.ndarray],
    labels: np.ndarray,
    *,
    bins: int,
    bin_range: tuple[float | int, float | int] | None,
    noise: float,
) -> LayerInformation:
    """One layer at every epoch, in the same bins."""
    for t in moments:
        if t.shape[0] != len(labels):
            raise DataError(
                f"{t.shape[0]} activations for {len(labels)} labels", place=name, remedy="give one row an example"
            )
        if not np.isfinite(t).all():
            raise DataError(
                f"{int((~np.isfinite(t)).sum())} activations are not finite",
                place=name,
                remedy="measure an epoch from before the training went wrong",
            )
    if bin_range is not None and not bin_range[0] < bin_range[1]:
        raise SettingsError(f"{bin_range} is no range", place="bin_range", remedy="give the lowest and highest edge")
    low, high = bin_range or (min(float(t.min()) for t in moments), max(float(t.max()) for t in moments))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    binned = np.array([binned_information(t, labels, edges) for t in moments])
    kernel = [kernel_information(t, labels, noise) for t in moments]
    return LayerInformation(
        layer=name,
        units=moments[0].shape[1],
        bin_low=float(edges[0]),
        bin_high=float(edges[-1]),
        bins=bins,
        binned_x=binned[:, 0],
        binned_y=binned[:, 1],
        kernel_x_low=np.array([one.x_low for one in kernel]),
        kernel_x_high=np.array([one.x_high for one in kernel]),
        kernel_y=np.array([one.y for one in kernel]),
        kernel_y_low=np.array([one.y_low for one in kernel]),
        kernel_y_high=np.array([one.y_high for one in kernel]),
    )


def _examples(loader: Any, most: int) -> tuple[Tensor, np.ndarray]:
    batches = list(batches_of(loader))
    x, y = torch.cat([one for one, _ in batches]), torch.cat([one for _, one in batches])
    places = _places(len(x), most)
    return x[places], y[places].cpu().numpy()


def _places(count: int, most: int) -> np.ndarray:
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)


def _outputs(model: nn.Module, x: Tensor, layers: Sequence[str] | None) -> dict[str, np.ndarray]:
    """What the layers give, flattened, in the order in which they ran."""
    modules = dict(model.named_modules())
    unknown = [name for name in layers or () if name not in modules]
    if unknown:
        shown = ", ".join(repr(name) for name in list(modules)[1:13])
        raise SettingsError(f"the model has no layer {unknown[0]!r}", place="layers", remedy=f"name some of {shown}")
    watched = list(layers) if layers is not None else list(_default_layers(model))
    held: dict[str, list[np.ndarray]] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _given: Any, made: Any) -> None:
            if isinstance(made, Tensor) and made.is_floating_point() and made.dim() > 1:
                held.setdefault(name, []).append(made.detach().flatten(1).double().cpu().numpy())

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in watched]
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    passes = 0
    try:
        with evaluating(model):
            for part in x.split(_CHUNK):
                model(part.to(where))
                passes += 1
    finally:
        for handle in handles:
            handle.remove()
    twice = [name for name, parts in held.items() if len(parts) != passes]
    if twice:
        raise SettingsError(
            f"the layer runs {len(held[twice[0]]) / passes:g} times in a pass",
            place=twice[0],
            remedy="leave it out with layers=, or give activations=",
        )
    return {name: np.concatenate(parts) for name, parts in held.items()}


def _default_layers(model: nn.Module) -> Iterator[str]:
    """The activation modules and the last layer with weights; without activation modules, all layers with weights."""
    leaves = {name: module for name, module in model.named_modules() if not module._modules and name}
    weighing = [name for name, one in leaves.items() if isinstance(one, nn.Linear | nn.modules.conv._ConvNd)]
    bends = [name for name, one in leaves.items() if type(one).__module__ == "torch.nn.modules.activation"]
    bends = [name for name in bends if not isinstance(leaves[name], nn.MultiheadAttention)]
    chosen = [*bends, *weighing[-1:]] if bends else weighing
    if not chosen and isinstance(model, nn.Linear):
        chosen = [""]
    if not chosen:
        raise SettingsError("no layer was found", place="model", remedy="name some with layers=")
    yield from chosen


def _given(
    activations: Any, labels: Any, layers: Sequence[str] | None, most: int
) -> tuple[dict[int, dict[str, np.ndarray]], np.ndarray]:
    """Activations as {epoch: {layer: (examples, units)}}."""
    if labels is None:
        raise SettingsError("activations without labels", place="labels", remedy="give labels=")
    by_epoch = activations if all(isinstance(one, Mapping) for one in activations.values()) else {-1: activations}
    y = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    places = _places(len(y), most)
    taken: dict[int, dict[str, np.ndarray]] = {}
    for epoch, moment in sorted(by_epoch.items()):
        taken[int(epoch)] = {}
        for name, values in moment.items():
            if layers is not None and name not in layers:
                continue
            array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
            if len(array) != len(y):
                raise DataError(
                    f"{len(array)} activations for {len(y)} labels", place=str(name), remedy="give one row an example"
                )
            taken[int(epoch)][str(name)] = array.reshape(len(array), -1)[places]
    return taken, y[places]


def _common_layers(by_epoch: dict[int, dict[str, np.ndarray]]) -> list[str]:
    first, *others = by_epoch.values()
    for one in others:
        if set(one) != set(first) or any(one[name].shape != first[name].shape for name in one):
            raise DataError(
                "the epochs do not have the same layers", place="activations", remedy="give every layer at every epoch"
            )
    if not first:
        raise DataError("there is no layer", place="layers", remedy="name layers that the model runs")
    return list(first)


def _check_labels(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.isfinite(np.asarray(labels, dtype=np.float64)).all() or (labels % 1 != 0).any():
        raise DataError("labels are no class numbers", place="labels", remedy="give one whole number an example")
    if len(labels) < 2:
        raise DataError("there are fewer than two examples", place="labels", remedy="give more examples")
    return labels.astype(np.int64)
