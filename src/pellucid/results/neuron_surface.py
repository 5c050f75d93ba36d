"""What every neuron of a network holds over a slice: its surface, its level sets, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result
from pellucid.results.slice_plane import SlicePlane

__all__ = ["NeuronSurface", "SurfaceLayer", "SurfaceStage"]


@dataclass(frozen=True, eq=False)
class SurfaceLayer:
    """One layer's neurons over the slice."""

    name: str
    operation: str  # 'Linear', 'Conv2d' …
    activation: str  # what follows: 'relu'; '' for none
    normalised: bool  # whether a normalisation stands between the layer and its non-linearity
    unit_shape: tuple[int, ...]  # of the layer's output for one example
    positions: str  # how the positions of a channel became one number: 'mean', 'max', 'centre'; '' if there are none
    units: np.ndarray  # (k,) which neurons or channels
    values: np.ndarray  # (k, rows, columns) after the non-linearity; rows are t, columns s
    before: np.ndarray  # the same before it; empty if it was not asked for
    low: np.ndarray  # (k,) smallest finite value of each; nan if there is none
    high: np.ndarray  # (k,)
    source: str  # the layer whose neurons it reads as they are, 'input' for the network's input; '' if not known
    weight: np.ndarray  # (k, inputs) of a linear layer, else empty; a layer on the input has it in the slice: s, t
    bias: np.ndarray  # (k,) likewise; for a layer on the input, what it gives at s = t = 0
    own_bias: np.ndarray  # (k,) the layer's own bias; zeros if it has none
    precision_error: float  # largest |float32 − float64| at sampled points of the grid
    interpolation_error: float  # largest |surface between the grid's points − network in float64| at sampled points


@dataclass(frozen=True, eq=False)
class SurfaceStage:
    """One step on the way to a neuron's value."""

    name: str  # 'slope', 'shifted', 'clipped', 'weighed', 'summed'
    formula: str  # what was done
    values: np.ndarray  # (rows, columns)


@dataclass(frozen=True, eq=False)
class NeuronSurface(Result):
    """Every neuron of some layers, on a grid over a slice."""

    schema: ClassVar[str] = "neuron_surface/1"

    model: str
    plane: SlicePlane
    s: np.ndarray  # (columns,)
    t: np.ndarray  # (rows,)
    layers: tuple[SurfaceLayer, ...]  # in the order in which they run
    tolerance: float  # of the adaptive grid, as a share of a neuron's range; 0 if every point was computed
    computed: np.ndarray  # (rows, columns) bool: False where a value lies between computed ones; empty if all were
    evaluations: int  # points at which the network ran
    samples: int  # points at which the errors were taken
    nonfinite: int  # values that are nan or infinite

    def layer(self, name: str = "") -> SurfaceLayer:
        """The layer of that name; the last without one.

        Raises:
            SettingsError: it is not among those measured.
        """
        for one in self.layers:
            if one.name == (name or self.layers[-1].name):
                return one
        shown = ", ".join(one.name for one in self.layers)
        raise SettingsError(f"layer {name!r} was not measured", place="layer", remedy=f"name one of {shown}")

    def surface(self, layer: str, unit: int) -> np.ndarray:
        """One neuron's values, rows × columns."""
        found = self.layer(layer)
        return found.values[_place(found, unit)]

    def contours(self, layer: str, unit: int, level: float = 0.0) -> tuple[np.ndarray, ...]:
        """Where the neuron has the value ``level``: lines as arrays of (s, t), exact up to the grid's interpolation."""
        import contourpy

        generator = contourpy.contour_generator(self.s, self.t, np.ma.masked_invalid(self.surface(layer, unit)))
        return tuple(np.asarray(line, dtype=np.float64) for line in generator.lines(float(level)))

    def hyperplane(self, layer: str, unit: int) -> np.ndarray:
        """The exact line in the slice on which a neuron of a first layer is zero before its non-linearity.

        Returns:
            Its two ends on the slice's border, 2 × 2; no rows where it does not cross the slice.

        Raises:
            SettingsError: the layer does not read the network's input as it is, or is not linear.
        """
        found = self.layer(layer)
        if found.source != "input" or not found.weight.size:
            raise SettingsError(
                f"{found.name} is not a linear layer on the input, so its neurons bend along no one line",
                place="layer",
                remedy="ask for its contours",
            )
        place = _place(found, unit)
        return _clip_line(found.weight[place], float(found.bias[place]), self.plane.u_range, self.plane.v_range)

    def stages(self, layer: str, unit: int, into: int | None = None) -> tuple[SurfaceStage, ...]:
        """How the neuron's surface comes about: its slope, shifted by its bias, clipped by its non-linearity.

        Args:
            layer: A linear layer.
            unit: One of its neurons.
            into: A neuron of the next layer, to go on: weighed by the weight between both, and summed with the others.

        Raises:
            SettingsError: the layer is not linear, or the layers needed were not measured.
        """
        found = self.layer(layer)
        place = _place(found, unit)
        shifted = self._before(found, place)
        own = float(found.own_bias[place])
        found_stages = [
            SurfaceStage("slope", "w · x", shifted - own),
            SurfaceStage("shifted", f"w · x + b, b = {own:.4g}", shifted),
            SurfaceStage(
                "clipped",
                ("normalised, then " if found.normalised else "") + (found.activation or "no non-linearity"),
                found.values[place].astype(np.float64),
            ),
        ]
        if into is None:
            return tuple(found_stages)
        onward = self._onward(found)
        target = _place(onward, into)
        weight = float(onward.weight[target, place])
        found_stages += [
            SurfaceStage("weighed", f"× {weight:.4g} into {onward.name}[{into}]", weight * found_stages[-1].values),
            SurfaceStage("summed", f"{onward.name}[{into}], before its non-linearity", self._before(onward, target)),
        ]
        return tuple(found_stages)

    def _before(self, layer: SurfaceLayer, place: int) -> np.ndarray:
        """A linear neuron before its non-linearity, from what it reads."""
        if layer.before.size:
            return layer.before[place].astype(np.float64)
        if not layer.weight.size:
            raise SettingsError(
                f"{layer.name} is no linear layer with a known source",
                place="layer",
                remedy="measure that layer by itself, with before=True",
            )
        weight, bias = layer.weight[place], float(layer.bias[place])
        if layer.source == "input":
            return weight[0] * self.s[None, :] + weight[1] * self.t[:, None] + bias
        source = next((one for one in self.layers if one.name == layer.source), None)
        if source is None or len(source.units) != len(weight):
            raise SettingsError(
                f"what {layer.name} reads was not measured whole", place="layer", remedy="measure all layers"
            )
        return np.tensordot(weight, source.values.astype(np.float64), 1) + bias

    def _onward(self, layer: SurfaceLayer) -> SurfaceLayer:
        for one in self.layers:
            if one.source == layer.name and one.weight.size and one.weight.shape[1] == len(layer.units):
                return one
        raise SettingsError(
            f"no linear layer that was measured reads {layer.name} as it is", place="into", remedy="measure all layers"
        )


def _place(layer: SurfaceLayer, unit: int) -> int:
    found = np.flatnonzero(layer.units == unit)
    if not len(found):
        raise SettingsError(
            f"unit {unit} of {layer.name} was not measured", place="unit", remedy=f"{len(layer.units)} were; see units"
        )
    return int(found[0])


def _clip_line(slope: np.ndarray, shift: float, across: tuple[float, float], up: tuple[float, float]) -> np.ndarray:
    """The line slope·(s, t) + shift = 0 within a rectangle, by cutting each side's range off its parameter."""
    size = float(slope @ slope)
    if not np.isfinite(size) or size == 0:
        return np.empty((0, 2))
    foot, along = -shift * slope / size, np.array([-slope[1], slope[0]]) / np.sqrt(size)
    low, high = -np.inf, np.inf
    for axis, (first, last) in enumerate((across, up)):
        if along[axis] == 0:
            if not first <= foot[axis] <= last:
                return np.empty((0, 2))
            continue
        ends = sorted(((first - foot[axis]) / along[axis], (last - foot[axis]) / along[axis]))
        low, high = max(low, ends[0]), min(high, ends[1])
    return np.array([foot + low * along, foot + high * along]) if low < high else np.empty((0, 2))
