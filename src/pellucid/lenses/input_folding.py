"""How is the plane of the input bent and folded on its way through the network?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.from_layer import run_on, state_in
from pellucid.capture.neuron_values import LayerValues, NeuronWatch, neuron_layers
from pellucid.core.procrustes import turn_to, two_principal
from pellucid.core.slices import Slice
from pellucid.errors import DataError, SettingsError
from pellucid.results.input_folding import FoldingStage, InputFolding
from pellucid.results.slice_plane import SlicePlane

__all__ = ["measure_input_folding"]

_CHUNK = 512
_MOST_VALUES = 1 << 27
_BETWEEN = 8
"""Points of a line from one crossing to the next."""
_LOST = 1e-6
"""A cell is collapsed if its shorter side, set upright, is so much shorter than the typical side of a cell."""


def measure_input_folding(
    model: nn.Module,
    slice_: Slice,
    layers: Sequence[str] | None = None,
    *,
    lines: int = 17,
    X: Any = None,  # noqa: N803
    y: Any = None,
    reference: InputFolding | None = None,
) -> InputFolding:
    """Carry a slice's grid lines and examples through the network, and show where each layer leaves them.

    A layer of two units is drawn as it is; of a wider one the two principal directions are, turned (and mirrored) by
    Procrustes' rule to the picture of the layer before it or, of a later moment of training, to ``reference``'s, so
    that the picture moves smoothly.

    Args:
        model: Any network; it runs in evaluation mode in float64, and is left as it was.
        slice_: Where; see ``slice_features`` and its relatives.
        layers: Modules to show, after the non-linearity that follows. None takes every layer that has weights.
        lines: Grid lines in each direction.
        X: Examples to carry, instead of the slice's own, which are carried from their place in the slice.
        y: Their class numbers.
        reference: A folding of the same slice and layers, of an earlier state of the network.

    Returns:
        An ``InputFolding``: for each layer the picture, the share of the variance seen in it, how much the plane was
        stretched, and which share of it collapsed.

    Raises:
        SettingsError: there is no such layer, or the reference is of another grid.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> plane = Slice(np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]), (-1.0, 1.0), (-1.0, 1.0), (2,))
    >>> [(one.name, one.direct) for one in measure_input_folding(net, plane).stages]
    [('input', True), ('0', True), ('2', True)]
    """
    if lines < 2:
        raise SettingsError(f"{lines} lines make no grid", place="lines", remedy="give at least 2")
    grid = _grid(slice_, lines)
    examples, classes, carried = _examples(slice_, X, y)
    _check_reference(reference, grid, len(examples))
    rows = np.concatenate([slice_.embed(grid.reshape(-1, 2)), examples])
    modes = [part for part in model.modules() if part.training]
    try:
        for part in modes:
            part.training = False
        walker = _Walker(model, _choose(model, layers), slice_, rows)
        stages, nonfinite = _carry(walker, grid, slice_, reference)
    finally:
        for part in modes:
            part.training = True
    return InputFolding(
        model=type(model).__name__,
        plane=SlicePlane.of(slice_),
        lines=grid,
        stages=stages,
        aligned_to="layers" if reference is None else "reference",
        carried=carried,
        point_classes=classes,
        nonfinite=nonfinite,
    )


def _choose(model: nn.Module, layers: Sequence[str] | None) -> dict[str, nn.Module]:
    if layers is None:
        return neuron_layers(model)
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            shown = ", ".join(repr(one) for one in list(neuron_layers(model))[:12])
            raise SettingsError(f"the model has no layer {name!r}", place="layers", remedy=f"name some of {shown}")
    return {name: modules[name] for name in layers}


def _grid(slice_: Slice, lines: int) -> np.ndarray:
    """Lines of constant t, then of constant s, with the same crossings; 2·lines × points × 2."""
    points = (lines - 1) * _BETWEEN + 1
    s, t = np.linspace(*slice_.u_range, points), np.linspace(*slice_.v_range, points)
    level = np.stack(np.meshgrid(s, t[::_BETWEEN]), axis=-1)
    upright = np.stack(np.meshgrid(s[::_BETWEEN], t, indexing="ij"), axis=-1)
    return np.concatenate([level, upright])


def _examples(slice_: Slice, given: Any, y: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Examples as flat rows, their classes, and where they are from."""
    size = len(slice_.origin)
    if given is None:
        if slice_.points is None or not len(slice_.points):
            return np.empty((0, size)), np.empty(0, dtype=np.int64), ""
        classes = slice_.point_classes
        kept = np.full(len(slice_.points), -1) if classes is None else classes
        return slice_.embed(slice_.points), np.asarray(kept, dtype=np.int64), "slice"
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    rows = array.astype(np.float64).reshape(len(array), -1)
    if rows.shape[1] != size:
        raise DataError(
            f"examples of {rows.shape[1]} numbers do not lie in the slice's space of {size}",
            place="X",
            remedy="give examples of the same shape",
        )
    if y is None:
        return rows, np.full(len(rows), -1), "given"
    numbers = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if numbers.shape != (len(rows),):
        raise DataError(f"{len(rows)} examples have {numbers.shape} classes", place="y", remedy="give one for each")
    return rows, numbers.astype(np.int64), "given"


def _check_reference(reference: InputFolding | None, grid: np.ndarray, examples: int) -> None:
    if reference is not None and (reference.lines.shape != grid.shape or len(reference.point_classes) != examples):
        raise SettingsError(
            "the reference has another grid or other examples", place="reference", remedy="measure it in the same slice"
        )


@dataclass(eq=False)
class _Carried:
    """All points as one layer leaves them."""

    name: str
    operation: str
    activation: str
    values: np.ndarray  # points × units


class _Walker:
    """Runs points through the network in float64, some at a time, and as many layers at once as memory holds."""

    def __init__(self, model: nn.Module, layers: dict[str, nn.Module], slice_: Slice, rows: np.ndarray) -> None:
        self._layers, self._rows, self.rows = layers, torch.from_numpy(rows), rows
        self._call = run_on(model, slice_, state_in(model, torch.float64))

    def layers(self) -> Iterator[_Carried]:
        """Every layer in the order in which they run."""
        first = NeuronWatch(self._layers).run(self._call, self._rows[:1])[1]
        if not first:
            raise SettingsError("no layer ran", place="layers", remedy="name layers that the model calls")
        group: list[str] = []
        size = 0
        for name, layer in first.items():
            wide = layer.after[0].numel() * len(self._rows)
            if group and size + wide > _MOST_VALUES:
                yield from self._pass(group)
                group, size = [], 0
            group.append(name)
            size += wide
        yield from self._pass(group)

    def _pass(self, names: list[str]) -> Iterator[_Carried]:
        watch = NeuronWatch({name: module for name, module in self._layers.items() if _is_of(name, names)})
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        found: dict[str, LayerValues] = {}
        for rows in self._rows.split(_CHUNK):
            found = watch.run(self._call, rows)[1]
            for name in names:
                parts[name].append(_flat(found[name].after).numpy())
        for name in names:
            layer = found[name]
            values = np.concatenate(parts.pop(name))
            yield _Carried(name, type(layer.module).__name__, layer.activation, values)


def _is_of(name: str, labels: list[str]) -> bool:
    """Whether a module ran under one of these names; a later run of it is called 'fc (2)'."""
    return any(label == name or label.startswith(f"{name} (") for label in labels)


def _flat(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(len(tensor), -1)
    return flat.float() if flat.shape[1] > 1024 else flat


def _carry(
    walker: _Walker, grid: np.ndarray, slice_: Slice, reference: InputFolding | None
) -> tuple[tuple[FoldingStage, ...], int]:
    """Every layer's picture in turn."""
    count = grid.shape[0] * grid.shape[1]
    own = np.concatenate([grid.reshape(-1, 2), slice_.project(walker.rows[count:])])
    before = _areas(slice_.embed(grid[: len(grid) // 2, ::_BETWEEN].reshape(-1, 2)), len(grid) // 2)[0]
    earlier = {} if reference is None else {one.name: one for one in reference.stages}
    stages = [_stage("input", own, grid.shape, 2, stretch=1.0)]
    nonfinite, last = 0, own
    for layer in walker.layers():
        values = layer.values.reshape(len(layer.values), -1)
        nonfinite += int((~np.isfinite(values)).sum())
        picture, explained = _picture(values)
        moved = math.nan
        target = _old_picture(earlier[layer.name]) if layer.name in earlier else last if reference is None else None
        if values.shape[1] > 2 and target is not None:
            picture, moved = turn_to(picture, target)
        crossings = values[: count // 2].reshape(len(grid) // 2, -1, values.shape[1])[:, ::_BETWEEN]
        areas, collapsed = _areas(crossings.reshape(-1, values.shape[1]), len(grid) // 2)
        stretch = float(np.median(areas / before)) if np.isfinite(areas).all() else math.nan
        stages.append(
            _stage(
                layer.name,
                picture,
                grid.shape,
                values.shape[1],
                operation=layer.operation,
                activation=layer.activation,
                explained=explained,
                stretch=stretch,
                collapsed=collapsed,
                moved=moved,
            )
        )
        last = picture
    return tuple(stages), nonfinite


def _stage(
    name: str,
    picture: np.ndarray,
    grid: tuple[int, ...],
    units: int,
    *,
    operation: str = "",
    activation: str = "",
    explained: float = 1.0,
    stretch: float,
    collapsed: float = 0.0,
    moved: float = math.nan,
) -> FoldingStage:
    count = grid[0] * grid[1]
    return FoldingStage(
        name=name,
        operation=operation,
        activation=activation,
        units=units,
        direct=units <= 2,
        explained=explained,
        lines=picture[:count].reshape(grid).astype(np.float32),
        points=picture[count:].astype(np.float32),
        stretch=stretch,
        collapsed=collapsed,
        moved=moved,
    )


def _picture(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Two dimensions of a layer, and the share of its variance in them."""
    if values.shape[1] > 2:
        return two_principal(values)
    flat = values.astype(np.float64)
    return (flat, 1.0) if flat.shape[1] == 2 else (np.concatenate([flat, np.zeros_like(flat)], axis=1), 1.0)


def _old_picture(stage: FoldingStage) -> np.ndarray:
    return np.concatenate([stage.lines.reshape(-1, 2), stage.points]).astype(np.float64)


def _areas(crossings: np.ndarray, lines: int) -> tuple[np.ndarray, float]:
    """The area of each cell between crossings, in any dimension, and the share of cells that have lost theirs."""
    mesh = crossings.astype(np.float64).reshape(lines, lines, -1)
    across, up = mesh[:-1, 1:] - mesh[:-1, :-1], mesh[1:, :-1] - mesh[:-1, :-1]
    with np.errstate(all="ignore"):
        a, b, c = (across**2).sum(-1), (up**2).sum(-1), (across * up).sum(-1)
        areas = np.sqrt(np.maximum(a * b - c**2, 0))
        side = math.sqrt(float(np.median(a + b)) / 2) or math.sqrt(float((a + b).max()))
        longer = np.sqrt(np.maximum(a, b))
        height = np.divide(areas, longer, out=np.zeros_like(areas), where=longer > 0)
        # a·b − c² cancels: what is below the rounding of a·b is no area
        rounding = 8 * np.finfo(np.float64).eps * a * b
        lost = (height <= _LOST * side) | (a * b - c**2 <= rounding)
    return areas, float(lost.mean())
