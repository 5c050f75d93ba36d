"""The figures that each lens gives of one split at one moment of training: (layer, quantity, value)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pellucid.lenses.calibration import measure_calibration
from pellucid.lenses.layer_collapse import measure_layer_collapse
from pellucid.lenses.margins import measure_margins
from pellucid.lenses.neural_collapse import measure_neural_collapse
from pellucid.lenses.robustness import measure_robustness

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.results.margins import MarginSummary
    from pellucid.training.batches import Batches

__all__ = ["LENS_FIGURES", "Scene"]

Figures = Iterator[tuple[str, str, float]]

_MOST_LINEARISED = 500
"""Examples whose distance in the input is sought: a backward pass for every competitor."""
_MOST_DISTURBED = 500
_LEVELS = (0.05, 0.1, 0.2)
"""Sizes of noise and of FGSM, times the standard deviation of the training inputs."""

_LAYER_QUANTITIES = ("nc1", "cdnv", "equinorm_centres", "maximal_angle_centres", "nearest_centre_accuracy")
_MARGIN_FIGURES = ("mean", "low", "median", "high", "negative")


class _Walk:
    """A split that can be walked again and again, scaled piece by piece."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches.chunks()


@dataclass(frozen=True)
class Scene:
    """What a lens looks at.

    Attributes:
        model: In evaluation mode, nobody else's.
        batches: The split's examples.
        split: Its name.
        train: The training examples, where the split is another one: their centres decide.
    """

    model: nn.Module
    batches: Batches
    split: str
    train: Batches | None

    def walk(self) -> _Walk:
        """The split, for lenses."""
        return _Walk(self.batches)

    def some(self, most: int) -> tuple[Tensor, Tensor]:
        """At most so many examples, evenly spread, the same each time."""
        return _some(self.batches, most)


def _some(batches: Batches, most: int) -> tuple[Tensor, Tensor]:
    count = min(most, len(batches))
    places = torch.linspace(0, len(batches) - 1, count, dtype=torch.float64).round().long()
    return batches.take(places.to(batches.inputs.device))


def _collapse(scene: Scene) -> Figures:
    centres = None if scene.train is None else _Walk(scene.train)
    found = measure_neural_collapse(scene.model, scene.walk(), centres_from=centres, split=scene.split)
    for one in found.quantities:
        yield "", one.name, one.value
    yield "", "nearest_centre_accuracy", found.nearest_centre_accuracy


def _layers(scene: Scene) -> Figures:
    found = measure_layer_collapse(scene.model, scene.walk(), split=scene.split)
    for layer in found.layers:
        for quantity in _LAYER_QUANTITIES:
            yield layer.name, quantity, layer.quantities[quantity]
        yield layer.name, "separation", layer.separation
        yield layer.name, "effective_rank", layer.effective_rank
    yield "", "decay", found.decay
    yield "", "decay_fit", found.decay_fit


def _calibration(scene: Scene) -> Figures:
    found = measure_calibration(scene.model, scene.walk(), resamples=0, split=scene.split)
    for entry in dataclasses.fields(found.figures):
        yield "", entry.name, getattr(found.figures, entry.name)


def _margins(scene: Scene) -> Figures:
    found = measure_margins(scene.model, scene.walk(), input_distance=False, split=scene.split)
    yield from (figure for summary in found.summaries for figure in _spread(summary))
    inputs, labels = scene.some(_MOST_LINEARISED)
    if inputs.is_floating_point():
        near = measure_margins(scene.model, (inputs, labels), split=scene.split)
        yield from _spread(near["input_distance"])


def _spread(summary: MarginSummary) -> Figures:
    """A distribution of margins by its mean, quantiles and share below 0."""
    for figure in _MARGIN_FIGURES:
        yield "", f"{summary.name}_{figure}", getattr(summary, figure)


def _robustness(scene: Scene) -> Figures:
    reference, _ = _some(scene.train or scene.batches, _MOST_DISTURBED)
    spread = float(reference.double().std())
    sizes = [level * (spread if spread > 0 and math.isfinite(spread) else 1.0) for level in _LEVELS]
    found = measure_robustness(
        scene.model,
        scene.some(_MOST_DISTURBED),
        noise=sizes,
        linf=sizes,
        l2=[],
        attacks=("fgsm",),
        split=scene.split,
    )
    yield "", "accuracy", found.accuracy
    for curve in found.curves:
        for level, accuracy in zip(_LEVELS, curve.accuracy, strict=True):
            yield "", f"{curve.name}_{level:g}", float(accuracy)


LENS_FIGURES: dict[str, Callable[[Scene], Figures]] = {
    "calibration": _calibration,
    "collapse": _collapse,
    "layers": _layers,
    "margins": _margins,
    "robustness": _robustness,
}
"""By the names in ``settings.Lens``."""
