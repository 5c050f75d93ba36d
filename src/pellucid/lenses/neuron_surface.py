"""What does each neuron hold over a slice of the input space?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.from_layer import run_on, state_in
from pellucid.capture.neuron_values import INPUT, LayerValues, NeuronWatch, neuron_layers
from pellucid.core.refine_grid import refine_grid, round_up
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.results.neuron_surface import NeuronSurface, SurfaceLayer
from pellucid.results.slice_plane import SlicePlane

__all__ = ["measure_neuron_surface"]

_MOST_VALUES = 1 << 27
_CHUNK = 1 << 20
_MOST_AT_ONCE = 10_240
_SAMPLES = 64
_LARGE = 100_000
_FLAT = 0.01


def measure_neuron_surface(
    model: nn.Module,
    slice_: Slice,
    layer: str | None = None,
    *,
    resolution: int | Sequence[int] = 100,
    units: Sequence[int] | None = None,
    positions: str = "mean",
    tolerance: float | None = None,
    before: bool | None = None,
) -> NeuronSurface:
    """Every neuron of a layer, or of all layers, on a grid over a slice, in one batched pass.

    A layer's value is taken after the normalisation and the non-linearity that follow it.

    Args:
        model: Any network; it runs in evaluation mode, and is left as it was.
        slice_: Where; see ``slice_features`` and its relatives.
        layer: A module's qualified name. None takes every layer that has weights.
        resolution: Points along each direction, or (columns, rows).
        units: Which neurons or channels. None takes all.
        positions: What stands for a channel that has many positions: their ``"mean"``, their ``"max"``, or the one in
            the ``"centre"``.
        tolerance: 0 computes every point of the grid. Another number computes only where some neuron bends by more than
            that share of its range, and interpolates between; the grid is then rounded up to steps of 8. None takes 0,
            and 0.01 for a network of more than 100,000 weights.
        before: Whether to keep each neuron's value before its non-linearity too. None keeps it if one layer was named.

    Returns:
        A ``NeuronSurface``, computed in float32, that states its distance from float64 at sampled points.

    Raises:
        SettingsError: there is no such layer or unit, or the grid is too large to hold.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> plane = Slice(np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]), (-1.0, 1.0), (-1.0, 1.0), (2,))
    >>> [one.values.shape for one in measure_neuron_surface(net, plane).layers]
    [(3, 100, 100), (1, 100, 100)]
    """
    layers = _choose(model, layer)
    columns, rows = _sizes(resolution)
    weights = list(model.parameters())
    flat = _tolerance(weights, tolerance)
    if flat:
        columns, rows = round_up(columns), round_up(rows)
    if positions not in ("mean", "max", "centre"):
        raise SettingsError(
            f"{positions!r} of a channel's positions is not known", place="positions", remedy="use mean, max or centre"
        )
    modes = [part for part in model.modules() if part.training]
    threads = torch.get_num_threads()
    try:
        if sum(one.numel() for one in weights) <= _LARGE and threads > 1:
            torch.set_num_threads(1)  # a narrow layer's work is too small to share: two threads are no faster
        for part in modes:
            part.training = False
        single = None if _run_here(weights) else state_in(model, torch.float32)
        sampler = _Sampler(model, layers, slice_, single, units=units, positions=positions)
        double = state_in(model, torch.float64)
        exact = _Sampler(model, layers, slice_, double, torch.float64, units=units, positions=positions)
        keep = layer is not None if before is None else before
        return _measure(sampler, exact, (columns, rows), flat, keep)
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        for part in modes:
            part.training = True


def _choose(model: nn.Module, layer: str | None) -> dict[str, nn.Module]:
    if layer is None:
        return neuron_layers(model)
    modules = dict(model.named_modules())
    if layer not in modules:
        shown = ", ".join(repr(name) for name in list(neuron_layers(model))[:12])
        raise SettingsError(f"the model has no layer {layer!r}", place="layer", remedy=f"name one of {shown}")
    return {layer: modules[layer]}


def _sizes(resolution: int | Sequence[int]) -> tuple[int, int]:
    columns, rows = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
    if min(columns, rows) < 2:
        raise SettingsError(f"a grid of {columns} × {rows} has no cell", place="resolution", remedy="give at least 2")
    return columns, rows


def _tolerance(weights: list[nn.Parameter], given: float | None) -> float:
    if given is None:
        return _FLAT if sum(one.numel() for one in weights) > _LARGE else 0.0
    if not 0 <= given < 1:
        raise SettingsError(f"a tolerance of {given} is none", place="tolerance", remedy="give a share such as 0.002")
    return given


def _run_here(weights: list[nn.Parameter]) -> bool:
    return all(one.dtype == torch.float32 and one.device.type == "cpu" for one in weights)


class _Sampler:
    """A network's layers at points of a slice."""

    def __init__(
        self,
        model: nn.Module,
        layers: dict[str, nn.Module],
        slice_: Slice,
        state: dict[str, Tensor] | None,
        dtype: torch.dtype = torch.float32,
        *,
        units: Sequence[int] | None,
        positions: str,
    ) -> None:
        self._watch = NeuronWatch(layers)
        self._call = run_on(model, slice_, state)
        self._dtype = dtype
        self._origin, self._u, self._v = slice_.origin[:, None], slice_.u[:, None], slice_.v[:, None]
        self.name, self.slice = type(model).__name__, slice_
        self.units, self.positions = units, positions

    def at(self, s: np.ndarray, t: np.ndarray) -> dict[str, LayerValues]:
        """Every layer at the points (s, t)."""
        return self._run(self._origin + s * self._u + t * self._v)

    def on_rows(self, s: np.ndarray, t: np.ndarray) -> dict[str, LayerValues]:
        """Every layer at every s for each t in turn."""
        rows = (self._origin + t * self._v)[:, :, None] + (s * self._u)[:, None, :]
        return self._run(rows.reshape(len(self._origin), -1))

    def _run(self, points: np.ndarray) -> dict[str, LayerValues]:
        return self._watch.run(self._call, torch.from_numpy(points).to(self._dtype).t())[1]

    def reduce(self, tensor: Tensor) -> Tensor:
        """A layer's output as points × units."""
        if tensor.dim() > 2:
            flat = tensor.flatten(2)
            if self.positions == "mean":
                tensor = flat.mean(2)
            else:
                tensor = flat.amax(2) if self.positions == "max" else flat[:, :, _centre(tensor.shape[2:])]
        elif tensor.dim() == 1:
            tensor = tensor[:, None]
        return tensor if self.units is None else tensor[:, list(self.units)]


def _centre(shape: Sequence[int]) -> int:
    return int(np.ravel_multi_index([size // 2 for size in shape], tuple(shape)))


class _Held:
    """The arrays of one layer, filled as the points come."""

    def __init__(self, layer: LayerValues, first: Tensor, points: int, keep_before: bool) -> None:
        self.info = layer
        self.values = torch.empty(first.shape[1], points)
        self.before = torch.empty(first.shape[1], points) if keep_before else None
        self.unit_shape = tuple(layer.before.shape[1:])


def _measure(
    sampler: _Sampler, exact: _Sampler, size: tuple[int, int], tolerance: float, keep_before: bool
) -> NeuronSurface:
    plane = SlicePlane.of(sampler.slice)
    s, t = plane.axes(*size)
    computed = np.empty((0, 0), dtype=bool)
    if tolerance:
        held, computed = _fill_where_bent(sampler, s, t, tolerance, keep_before)
    else:
        held = _fill(sampler, s, t, keep_before)
    surfaces = {name: one.values.numpy().reshape(-1, len(t), len(s)) for name, one in held.items()}
    errors = _errors(exact, surfaces, s, t, computed)
    layers = tuple(_describe(name, one, surfaces[name], sampler, errors[name]) for name, one in held.items())
    return NeuronSurface(
        model=sampler.name,
        plane=plane,
        s=s,
        t=t,
        layers=layers,
        tolerance=tolerance,
        computed=computed,
        evaluations=int(computed.sum()) if tolerance else len(s) * len(t),
        samples=_SAMPLES,
        nonfinite=sum(_nonfinite(one) for one in layers),
    )


def _nonfinite(layer: SurfaceLayer) -> int:
    """How many values are no numbers; none, if every surface's sum is finite."""
    if np.isfinite(layer.low).all() and np.isfinite(layer.values.sum(axis=(1, 2), dtype=np.float32)).all():
        return 0
    return int((~np.isfinite(layer.values)).sum())


def _chunks(slice_: Slice, points: int, least: int = 64) -> list[tuple[int, int]]:
    size = min(_MOST_AT_ONCE, max(least, _CHUNK // max(64, len(slice_.origin))))
    return [(start, min(start + size, points)) for start in range(0, points, size)]


def _fill(sampler: _Sampler, s: np.ndarray, t: np.ndarray, keep_before: bool) -> dict[str, _Held]:
    """Compute every point, some rows at a time."""
    rows = max(1, min(_MOST_AT_ONCE, _CHUNK // max(64, len(sampler.slice.origin))) // len(s))
    held: dict[str, _Held] = {}
    for start in range(0, len(t), rows):
        found = sampler.on_rows(s, t[start : start + rows])
        if not held:
            held = _prepare(sampler, found, len(s) * len(t), keep_before)
        _store(found, sampler, held, slice(start * len(s), (start + rows) * len(s)))
    return held


def _prepare(sampler: _Sampler, found: dict[str, LayerValues], points: int, keep_before: bool) -> dict[str, _Held]:
    """Room for as many points, given what the layers held at some."""
    held: dict[str, _Held] = {}
    for name, layer in found.items():
        if sampler.units is not None:
            _check_units(sampler.units, layer)
        first = sampler.reduce(layer.after)
        if points * first.shape[1] * (1 + keep_before) > _MOST_VALUES:
            raise SettingsError(
                f"{points:,} points of {first.shape[1]:,} neurons are more than {_MOST_VALUES:,} values",
                place=name,
                remedy="name fewer units, or give a smaller resolution",
            )
        held[name] = _Held(layer, first, points, keep_before)
    if not held:
        raise SettingsError("no layer ran", place="layer", remedy="name a layer that the model calls")
    return held


def _check_units(units: Sequence[int], layer: LayerValues) -> None:
    count = layer.after.shape[1] if layer.after.dim() > 1 else 1
    if not units or not all(0 <= unit < count for unit in units):
        raise SettingsError(
            f"{layer.name} has units 0 to {count - 1}", place="units", remedy="name some of these, or one layer only"
        )


def _store(found: dict[str, LayerValues], sampler: _Sampler, held: dict[str, _Held], place: Any) -> None:
    for name, layer in found.items():
        one = held[name]
        one.values[:, place] = sampler.reduce(layer.after).t()
        if one.before is not None:
            one.before[:, place] = sampler.reduce(layer.before).t()


def _fill_where_bent(
    sampler: _Sampler, s: np.ndarray, t: np.ndarray, tolerance: float, keep_before: bool
) -> tuple[dict[str, _Held], np.ndarray]:
    """Compute only where a surface bends; all layers' surfaces are refined together."""
    held = _prepare(sampler, sampler.at(s[:1], t[:1]), len(s) * len(t), keep_before)
    parts = [part for one in held.values() for part in (one.values, one.before) if part is not None]
    together = torch.empty(sum(len(part) for part in parts), len(s) * len(t))
    views = iter(together.split([len(part) for part in parts]))
    for one in held.values():
        one.values = next(views)
        one.before = None if one.before is None else next(views)

    def evaluate(row: np.ndarray, column: np.ndarray) -> None:
        flat = torch.from_numpy(row * len(s) + column)
        for start, stop in _chunks(sampler.slice, len(row)):
            part = slice(start, stop)
            _store(sampler.at(s[column[part]], t[row[part]]), sampler, held, flat[part])

    return held, refine_grid(together.numpy().reshape(len(together), len(t), len(s)), evaluate, tolerance)


def _errors(
    exact: _Sampler, surfaces: dict[str, np.ndarray], s: np.ndarray, t: np.ndarray, computed: np.ndarray
) -> dict[str, tuple[float, float]]:
    """The largest distance from float64: at computed points of the grid, and at points between."""
    rng = np.random.default_rng(0)
    if computed.size:
        at = np.flatnonzero(computed)[rng.integers(0, int(computed.sum()), _SAMPLES)]
        row, column = np.unravel_index(at, computed.shape)
    else:
        row, column = rng.integers(0, len(t), _SAMPLES), rng.integers(0, len(s), _SAMPLES)
    low_row, low_column = rng.integers(0, len(t) - 1, _SAMPLES), rng.integers(0, len(s) - 1, _SAMPLES)
    down, right = rng.random(_SAMPLES), rng.random(_SAMPLES)
    between_s = s[low_column] + right * (s[1] - s[0])
    between_t = t[low_row] + down * (t[1] - t[0])
    found = exact.at(np.concatenate([s[column], between_s]), np.concatenate([t[row], between_t]))
    corner = low_row * len(s) + low_column
    places = np.concatenate([row * len(s) + column, corner, corner + 1, corner + len(s), corner + len(s) + 1])
    shares = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    errors: dict[str, tuple[float, float]] = {}
    for name, layer in found.items():
        true = exact.reduce(layer.after).t().numpy()
        seen = surfaces[name].reshape(len(true), -1)[:, places].reshape(len(true), 5, _SAMPLES)
        with np.errstate(invalid="ignore", over="ignore"):
            guess = (seen[:, 1:] * shares).sum(axis=1)
            errors[name] = (_largest(seen[:, 0] - true[:, :_SAMPLES]), _largest(guess - true[:, _SAMPLES:]))
    return errors


def _largest(difference: np.ndarray) -> float:
    finite = np.abs(difference[np.isfinite(difference)])
    return float(finite.max()) if len(finite) else float("nan")


def _describe(
    name: str, held: _Held, values: np.ndarray, sampler: _Sampler, errors: tuple[float, float]
) -> SurfaceLayer:
    info, count = held.info, len(values)
    weight, bias, own_bias = _linear_part(info, sampler)
    low, high = _range(values)
    before = np.empty((0, 0, 0), dtype=np.float32) if held.before is None else held.before.numpy().reshape(values.shape)
    return SurfaceLayer(
        name=name,
        operation=type(info.module).__name__,
        activation=info.activation,
        normalised=info.normalised,
        unit_shape=held.unit_shape,
        positions=sampler.positions if len(held.unit_shape) > 1 else "",
        units=np.arange(count) if sampler.units is None else np.array(sampler.units, dtype=np.int64),
        values=values,
        before=before,
        low=low,
        high=high,
        source=info.source,
        weight=weight,
        bias=bias,
        own_bias=own_bias,
        precision_error=errors[0],
        interpolation_error=errors[1],
    )


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each surface's smallest and largest finite value."""
    flat = values.reshape(len(values), -1)
    low, high = flat.min(axis=1).astype(np.float64), flat.max(axis=1).astype(np.float64)
    for place in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high))):
        finite = values[place][np.isfinite(values[place])]
        low[place], high[place] = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
    return low, high


def _linear_part(info: LayerValues, sampler: _Sampler) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A linear layer's weights, bias and own bias; of one on the slice's space, as a function of s and t."""
    own_bias = getattr(info.module, "bias", None)
    kept = slice(None) if sampler.units is None else list(sampler.units)
    width = info.before.shape[1] if info.before.dim() > 1 else 1
    own = np.zeros(width)
    if isinstance(own_bias, Tensor) and own_bias.shape == (width,):
        own = own_bias.detach().double().cpu().numpy()
    if not isinstance(info.module, nn.Linear) or not info.source or info.before.dim() != 2:
        return np.empty((0, 0)), np.empty(0), own[kept]
    weight = info.module.weight.detach().double().cpu().numpy()
    weight, own = weight[kept], own[kept]
    if info.source != INPUT:
        return weight, own, own
    plane = sampler.slice
    return weight @ np.stack([plane.u, plane.v], axis=1), weight @ plane.origin + own, own
