"""How does the loss change as one single weight is moved?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.capture.double_copy import double_copy
from pellucid.capture.lent_parameters import call_with, places_of
from pellucid.capture.loss_surface import LossFunction, apply_loss, name_of_loss, scalar_loss
from pellucid.capture.moved_weight import Walk, walk_weight
from pellucid.core.hermite import Interval, refine
from pellucid.data.batches_of import Batches, whole_of
from pellucid.errors import SettingsError, TrainingError
from pellucid.results.weight_curve import WeightCurve

__all__ = ["measure_weight_curve"]

_MOST_POINTS = 4096
_FIRST_POINTS = 33
_CLOSE = 1e-12
_CHECKS = 8
_AGREES = 1e-8


def measure_weight_curve(
    model: nn.Module,
    loss: LossFunction,
    parameter: str,
    index: int | Sequence[int],
    loader: Batches | None = None,
    *,
    inputs: Tensor | None = None,
    targets: Tensor | None = None,
    span: tuple[float, float] | None = None,
    tolerance: float = 1e-6,
    most_points: int = _MOST_POINTS,
    seed: int = 0,
) -> WeightCurve:
    """What is L(w) as one entry w of a parameter runs through a range and everything else stays?

    In a network of affine layers and kinks (ReLU, max-pooling …) each example's output is piecewise affine in one
    weight. Every bend is found exactly, kink by kink: the quantities of the first are affine in w, so their zeros are
    exact; between them those of the second are affine, and so on. The outputs so followed are compared with the
    network run at random weights. Where they differ, or an operation is smooth, the curve is sampled where
    it bends most instead.

    Everything is computed in float64 on a copy in evaluation mode.

    Args:
        model: Any module.
        loss: ``loss(output, target)`` -> scalar; None for cross-entropy with class numbers, else mean squared error.
        parameter: Qualified name, such as "fc1.weight".
        index: Of the entry: (3, 7).
        loader: Batches of inputs and targets; all of them are taken together.
        inputs: In place of ``loader``, with ``targets``.
        targets: In place of ``loader``, with ``inputs``.
        span: The lowest and highest w; by default three standard deviations of the parameter's entries to both sides.
        tolerance: Points are added until the cubics between them are this close to L, as a share of its range.
        most_points: At most so many points are kept.
        seed: Of the weights that the outputs are compared at.

    Returns:
        A ``WeightCurve``; ``exact`` says whether every bend is known, ``interpolation_error`` and ``agreement`` how
        well the curve and the outputs behind it were met.

    Raises:
        SettingsError: there is no such parameter or entry, the range is empty, or the loss is no single number.
        DataError: there are no examples.
        TrainingError: the loss is not finite at the present weights.

    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    >>> x, y = torch.ones(1, 1), torch.ones(1, 1)  # L(w) = (max(w, 0) − 1)²
    >>> found = measure_weight_curve(model, None, "0.weight", (0, 0), (x, y), span=(-1.0, 3.0))
    >>> found.bend_weight.tolist(), [round(float(value), 9) for value in found.loss_at(np.array([-0.5, 0.5, 1.5]))]
    ([0.0], [1.0, 0.25, 0.25])
    """
    x, y = _examples(loader, inputs, targets)
    network = double_copy(model)
    place = _entry(network, parameter, index)
    x, y = (part.double() if part.is_floating_point() else part for part in (x.cpu(), y.cpu()))
    run = _Runner(network, x, y, loss, parameter=parameter, index=place)
    here, slope = run.value_and_slope(run.present)
    if not math.isfinite(here):
        raise TrainingError(
            f"the loss at these weights is {here}", place=parameter, remedy="look at inputs, targets and loss function"
        )
    low, high = _range(run, span)
    walk, reason, agreement = _walk(run, (low, high), seed)
    knots, left_out = _knots(walk, run.present, low, high, most_points)
    ends, value = (run.interval, run.value) if walk is None else _followed(walk, run)
    weight, points, error = refine(knots, ends, value, tolerance, max(most_points, len(knots)))
    bends = np.empty((0, 4)) if walk is None else walk.bends[np.argsort(walk.bends[:, 3], kind="stable")]
    return WeightCurve(
        parameter=parameter,
        index=place,
        loss_name=name_of_loss(loss),
        examples=len(x),
        exact=walk is not None,
        reason=reason,
        value=run.present,
        loss_here=here,
        slope_here=slope,
        weight=weight,
        loss=points[:, 0],
        slope_left=points[:, 1],
        slope_right=points[:, 2],
        interpolation_error=error,
        agreement=agreement,
        bend_weight=bends[:, 3],
        bend_example=bends[:, 0].astype(np.int64),
        bend_unit=bends[:, 2].astype(np.int64),
        bend_module=bends[:, 1].astype(np.int64),
        modules=() if walk is None else walk.kinks,
        bends_left_out=left_out,
    )


def _examples(loader: Batches | None, inputs: Tensor | None, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    if loader is not None and inputs is None and targets is None:
        return whole_of(loader)
    if loader is None and inputs is not None and targets is not None:
        return whole_of((inputs, targets))
    raise SettingsError(
        "the examples are not given, or given twice",
        place="loader",
        remedy="give a loader, or inputs= together with targets=",
    )


def _entry(network: nn.Module, parameter: str, index: int | Sequence[int]) -> tuple[int, ...]:
    known = dict(network.named_parameters())
    if parameter not in known:
        shown = ", ".join(list(known)[:12]) or "none: it has no parameters"
        raise SettingsError(
            f"the model has no parameter {parameter!r}", place=parameter or "parameter", remedy=f"name one of {shown}"
        )
    shape = tuple(known[parameter].shape)
    place = (index,) if isinstance(index, int) else tuple(int(one) for one in index)
    if len(place) != len(shape) or any(not -size <= one < size for one, size in zip(place, shape, strict=True)):
        raise SettingsError(
            f"{parameter} of shape {shape} has no entry {place}", place=parameter, remedy="give one index an axis"
        )
    return tuple(one % size for one, size in zip(place, shape, strict=True))


class _Runner:
    """The loss of the network run anew with the weight at some value."""

    def __init__(
        self, network: nn.Module, x: Tensor, y: Tensor, loss: LossFunction, *, parameter: str, index: tuple[int, ...]
    ) -> None:
        self.network, self.x, self.y, self.loss = network, x, y, loss
        self.parameter, self.index = parameter, index
        self.places = places_of(network)
        self.own = network.get_parameter(parameter).detach()
        self.present = float(self.own[index])
        self._seen: dict[float, tuple[float, float]] = {}
        self.shape: torch.Size | None = None

    def output(self, weight: Tensor | float) -> Any:
        entries = tuple(torch.tensor(one) for one in self.index)
        moved = self.own.clone().index_put(entries, torch.as_tensor(weight, dtype=self.own.dtype))
        return call_with(self.network, self.places, {self.parameter: moved}, self.x)

    def of_output(self, output: Any) -> Tensor:
        return scalar_loss(apply_loss(self.loss, output, self.y))

    def value_and_slope(self, weight: float) -> tuple[float, float]:
        """Remembered, since neighbouring intervals share their ends."""
        if weight not in self._seen:
            with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                leaf = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
                output = self.output(leaf)
                self.shape = output.shape if isinstance(output, Tensor) else None
                loss = self.of_output(output)
                slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
            self._seen[weight] = float(loss.detach()), 0.0 if slope is None else float(slope)
        return self._seen[weight]

    def interval(self, low: float, high: float) -> Interval:
        (first, rise), (last, end) = self.value_and_slope(low), self.value_and_slope(high)
        return first, rise, last, end

    def value(self, weight: float) -> float:
        return self.value_and_slope(weight)[0]


def _range(run: _Runner, span: tuple[float, float] | None) -> tuple[float, float]:
    if span is None:
        spread = float(run.own.std(unbiased=False)) if run.own.numel() > 1 else 0.0
        reach = max(3 * spread, 1.5 * abs(run.present)) or 1.0
        return run.present - reach, run.present + reach
    low, high = float(span[0]), float(span[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SettingsError(f"from {low} to {high} is no range", place="span", remedy="give (lowest, highest)")
    return low, high


def _walk(run: _Runner, span: tuple[float, float], seed: int) -> tuple[Walk | None, str, float]:
    """The outputs followed exactly and how well they are met; or None and why not."""
    others = run.places[run.parameter]
    if len(others) > 1:
        return None, f"{' and '.join(others)} are one parameter", math.nan
    if run.shape is None or not run.shape or run.shape[0] != len(run.x):
        return None, "the output is no tensor with one row for each example", math.nan
    try:
        walk = walk_weight(run.network, run.x, run.parameter, run.index, span)
    except SettingsError as error:
        return None, error.message, math.nan
    agreement, size = 0.0, 1e-12
    with torch.no_grad():
        for weight in np.random.default_rng(seed).uniform(*span, _CHECKS):
            exact = run.output(float(weight)).reshape(len(run.x), -1).numpy()
            followed, _ = _outputs(walk, float(weight), float(weight), span)
            agreement = max(agreement, float(np.abs(exact - followed).max(initial=0.0)))
            size = max(size, float(np.abs(exact).max(initial=0.0)))
    if not agreement <= _AGREES * size:
        return None, f"the outputs followed differ from the model's by {agreement:.2g}", math.nan
    return walk, "", agreement


def _outputs(walk: Walk, weight: float, inside: float, span: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Every example's output at a weight and its slope, by the affine piece that ``inside`` lies on."""
    reach = span[1] - span[0]
    key = walk.row + 0.5 * (walk.weight - span[0]) / reach
    count = int(walk.row[-1]) + 1
    last = np.searchsorted(walk.row, np.arange(count), side="right") - 1
    place = np.searchsorted(key, np.arange(count) + 0.5 * (inside - span[0]) / reach, side="right") - 1
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.clip(place, first, last - 1)
    width = walk.weight[place + 1] - walk.weight[place]
    slope = (walk.output[place + 1] - walk.output[place]) / np.where(width > 0, width, np.inf)[:, None]
    return walk.output[place] + (weight - walk.weight[place])[:, None] * slope, slope


def _knots(walk: Walk | None, present: float, low: float, high: float, most: int) -> tuple[np.ndarray, int]:
    """The points to begin with, and how many bends are not among them."""
    spread = np.linspace(low, high, _FIRST_POINTS)
    knots = spread if walk is None else np.concatenate([[low, high], walk.bends[:, 3]])
    if low < present < high:
        knots = np.append(knots, present)
    knots = np.unique(knots)
    # Bends that rounding alone keeps apart are one.
    knots = knots[np.concatenate([[True], np.diff(knots) > _CLOSE * (high - low)])]
    knots[-1] = high
    if len(knots) <= most:
        return knots, 0
    kept = np.unique(np.linspace(0, len(knots) - 1, most).round().astype(int))
    return knots[kept], len(knots) - len(kept)


def _followed(walk: Walk, run: _Runner) -> tuple[Callable[[float, float], Interval], Callable[[float], float]]:
    """Losses and slopes from the outputs followed."""
    span = float(walk.weight.min()), float(walk.weight.max())
    assert run.shape is not None
    shape = run.shape

    def at(weight: float, inside: float) -> tuple[float, float]:
        output, slope = _outputs(walk, weight, inside, span)
        with torch.enable_grad():
            leaf = torch.from_numpy(output).reshape(shape).requires_grad_()
            loss = run.of_output(leaf)
            pull = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
        return float(loss.detach()), 0.0 if pull is None else float(
            (pull.numpy().reshape(len(slope), -1) * slope).sum()
        )

    def interval(low: float, high: float) -> Interval:
        # A thousandth of the way in, so that rounding puts neither end on its neighbour's piece.
        near = 1e-3 * (high - low)
        return *at(low, low + near), *at(high, high - near)

    return interval, lambda weight: at(weight, weight)[0]
