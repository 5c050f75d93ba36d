"""Which linear models is a piecewise linear network on my data?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.flat_network import FlatNetwork
from pellucid.capture.piecewise import PiecewiseProgram, read_piecewise
from pellucid.core.region_figures import region_figures
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.local_linear_targets import Targets, read_targets
from pellucid.results.local_linear_models import KinkLayer, LocalLinearModels
from pellucid.results.local_linear_simplification import PointSet, SimplificationMethod, Task

__all__ = ["measure_local_linear_models"]

_CHUNK = 512
_MOST_NUMBERS = 1 << 28
_ROUNDS = 8
_HALVINGS = 24
_MOST_FEATURES = 256


def measure_local_linear_models(
    model: nn.Module,
    X: Any,  # noqa: N803 - the field's name for a table of examples
    y: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    task: Task | None = None,
    held_out: tuple[Any, Any] | None = None,
    unvisited: int = 512,
    simplify: Sequence[tuple[SimplificationMethod, int]] | None = None,
    seed: int = 0,
) -> LocalLinearModels:
    """Which linear models is this network on my data, and how much does each feature count in them?

    A network of piecewise linear operations is affine on every cell of one activation pattern p: f(x) = Wₚ x + bₚ. The
    examples' distinct patterns are found in float64; Wₚ comes from one backward pass an output over one example of each
    pattern, bₚ = f(x) − Wₚ x there. That these models give the network's own outputs is checked on every example, and,
    as an example alone in its cell proves nothing about Wₚ, at another point of every cell.

    Args:
        model: The network. It returns logits or numbers; a last softmax or sigmoid is to be left out.
        X: The examples as the network takes them: a data frame, an array or a tensor, of any shape behind the first
            axis.
        y: Their classes or numbers; None if nobody knows.
        feature_names: Of the numbers of one example, in flattened order; a data frame's columns by default.
        classes: Names of the classes.
        output_names: Names of a regression's outputs.
        task: ``"regression"``, ``"binary"`` (one logit) or ``"multiclass"``; told from ``y`` by default.
        held_out: Other examples and targets, to measure simplifications on.
        unvisited: How many cells to sample that no example visits, by each of two ways: on the lines between
            pairs of examples, and uniformly in the box of the features' ranges. 0 for none.
        simplify: Which simplifications to measure at once, as (method, regions) of ``LocalLinearModels.simplify``; by
            default each of the three with 8 regions, for at most 256 features.
        seed: Of that sampling.

    Returns:
        A ``LocalLinearModels``; ``error`` and ``inside_error`` are the largest deviations from the network, on the
        examples and at other points of their cells: no more than rounding if all is well.

    Raises:
        SettingsError: the network is not piecewise linear, or its weights are not finite.
        DataError: an example is not finite, or there are none.

    Source: Sudjianto, Knauth, Singh, Yang and Zhang 2020, *Unwrapping the black box of deep ReLU networks*.

    >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> found = measure_local_linear_models(net, torch.randn(50, 2), torch.randn(50), unvisited=8)
    >>> int(found.support.sum()), found.error < 1e-12
    (50, True)
    """
    names, points, shape = _read_points(X, feature_names, "X")
    network = FlatNetwork(model, shape)
    program = read_piecewise(network, torch.from_numpy(points[:1]))
    _require_piecewise(program)
    target = read_targets(y, program.outputs, len(points), task=task, classes=classes, output_names=output_names)
    patterns, on, margins = _patterns(program, points)
    regions, region, support = _group(patterns)
    representative = _representatives(region, margins, len(support))
    coefficients, intercepts = _affine_maps(program, points[representative])
    output = _run(program, points)
    data = PointSet("data", points, target.values, output, region)
    inside = _check_inside(
        program, points[representative], regions, (coefficients, intercepts), scale=points.std(axis=0), seed=seed
    )
    figures = region_figures(target.task, target.values, output, region, len(support))
    unseen, settings = _sample_unvisited(program, points, regions, unvisited, seed)
    models = LocalLinearModels(
        model=type(model).__name__,
        task=target.task,
        features=names,
        outputs=target.outputs,
        classes=target.classes,
        shape=shape,
        layers=_layers(program, on, len(points)),
        data=data,
        held_out=_held_out(program, held_out, shape, regions, target),
        unvisited=unseen,
        patterns=regions,
        coefficients=coefficients,
        intercepts=intercepts,
        support=support,
        representative=representative,
        metric_names=figures.names,
        metrics=figures.values,
        overall=figures.overall,
        class_balance=_balance(target, region, len(support)),
        error=_largest_error(coefficients, intercepts, data),
        inside_error=inside[0],
        inside_distance=inside[1],
        output_scale=float(np.abs(output).max()),
        settings=settings,
        simplified=(),
    )
    if simplify is None:
        simplify = [(method, 8) for method in ("merge", "tree", "flatten")] if points.shape[1] <= _MOST_FEATURES else []
    return replace(models, simplified=tuple(models.simplify(method, count).summary() for method, count in simplify))


def _read_points(
    X: Any,  # noqa: N803 - as above
    names: Sequence[str] | None,
    place: str,
) -> tuple[tuple[str, ...], np.ndarray, tuple[int, ...]]:
    """Feature names, flattened float64 examples, and the shape of one."""
    columns = getattr(X, "columns", None)
    raw = X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)
    try:
        values = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the examples are no numbers ({error})", place=place, remedy="encode texts and dates as numbers first"
        ) from error
    if values.ndim == 0 or not values.size:
        raise DataError("there are no examples", place=place, remedy="give at least one")
    values = values[:, None] if values.ndim == 1 else values
    shape = values.shape[1:]
    flat = np.array(values.reshape(len(values), -1), order="C")  # a copy: the result keeps it
    names = columns if names is None else names
    found = _default_names(shape) if names is None else tuple(map(str, names))
    if len(found) != flat.shape[1]:
        raise SettingsError(
            f"{len(found)} names for {flat.shape[1]} features",
            place="feature_names",
            remedy=f"give {flat.shape[1]} names",
        )
    wrong = np.argwhere(~np.isfinite(flat))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{len(wrong):,} numbers of the examples are NaN or infinite",
            place=f"{place}, row {row}, column {found[column]}",
            remedy="fill or drop them as the training did",
        )
    return found, flat, shape


def _default_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    if len(shape) == 1:
        return tuple(f"x{at}" for at in range(shape[0]))
    return tuple("x[" + ",".join(map(str, index)) + "]" for index in np.ndindex(*shape))


def _require_piecewise(program: PiecewiseProgram) -> None:
    """Refuse a smooth network, with what can be measured of it instead."""
    if not program.obstacles:
        return
    first = program.obstacles[0]
    places = dict.fromkeys(f"{one.op} in {one.module or 'the model'}" for one in program.obstacles)
    what = "is smooth: it is linear on no region" if first.kind == "smooth" else "jumps, or decides by a number"
    raise SettingsError(
        f"{first.op} {what}",
        place=", ".join(places) + (f", {first.source}" if first.source else ""),
        remedy="leave a final softmax or sigmoid out; for any other, measure_input_jacobian(model, x) gives "
        "the linear map at one input",
    )


def _patterns(program: PiecewiseProgram, points: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Every point's packed pattern; per kink how many points have each bit on; every point's distance from a kink.

    The distance is a pair: how many quantities are exactly zero, negated, and the smallest of the others in size.
    """
    packed: list[np.ndarray] = []
    margins: list[np.ndarray] = []
    on = [np.zeros(kink.quantities, dtype=np.int64) for kink in program.kinks]
    for start in range(0, len(points), _CHUNK):
        with torch.no_grad():
            quantities, _ = program.everything(torch.from_numpy(points[start : start + _CHUNK]))
        count = len(points[start : start + _CHUNK])
        bits, margin = [np.empty((count, 0), dtype=np.uint8)], np.stack([np.zeros(count), np.full(count, np.inf)], 1)
        for kink, found in zip(program.kinks, quantities, strict=True):
            values = found.numpy()
            if kink.kind == "maximum":
                bits.append(_binary(values.argmax(axis=2), kink.members))
                continue
            above = values > 0
            bits.append(above.astype(np.uint8))
            on[kink.index] += above.sum(axis=0)
            zero = values == 0
            margin[:, 0] -= zero.sum(axis=1)
            margin[:, 1] = np.minimum(margin[:, 1], np.where(zero, np.inf, np.abs(values)).min(axis=1, initial=np.inf))
        packed.append(np.packbits(np.concatenate(bits, axis=1), axis=1))
        margins.append(margin)
    return np.concatenate(packed), on, np.concatenate(margins)


def _binary(places: np.ndarray, members: int) -> np.ndarray:
    """Each place as so many bits as tell the members apart."""
    digits = np.arange(max(1, (members - 1).bit_length()))
    return ((places[..., None] >> digits) & 1).astype(np.uint8).reshape(len(places), -1)


def _group(patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct patterns, by support and then by first example; each example's; and how many have each."""
    if not patterns.shape[1]:
        return patterns[:1], np.zeros(len(patterns), dtype=np.int32), np.array([len(patterns)])
    _, first, inverse, count = np.unique(_as_keys(patterns), return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -count))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return patterns[first[order]], place[inverse.ravel()].astype(np.int32), count[order]


def _as_keys(patterns: np.ndarray) -> np.ndarray:
    """Rows of bytes as single items that compare."""
    return np.ascontiguousarray(patterns).view(np.dtype((np.void, patterns.shape[1]))).ravel()


def _representatives(region: np.ndarray, margins: np.ndarray, count: int) -> np.ndarray:
    """Of each region the example farthest from every kink."""
    order = np.lexsort((np.arange(len(region)), -margins[:, 1], -margins[:, 0], region))
    return order[np.searchsorted(region[order], np.arange(count))]


def _affine_maps(program: PiecewiseProgram, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W and b at each point: one backward pass an output over all of them together."""
    numbers = len(points) * program.outputs * points.shape[1]
    if numbers > _MOST_NUMBERS:
        raise SettingsError(
            f"{len(points):,} regions × {program.outputs:,} outputs × {points.shape[1]:,} features are too many",
            place="X",
            remedy=f"give fewer examples: at most {_MOST_NUMBERS:,} numbers are kept",
        )
    weights = np.empty((len(points), program.outputs, points.shape[1]))
    values = np.empty((len(points), program.outputs))
    for start in range(0, len(points), _CHUNK):
        rows = slice(start, start + _CHUNK)
        with torch.enable_grad():
            given = torch.from_numpy(points[rows]).clone().requires_grad_()
            outputs = program.network(given * 1)  # A model may overwrite what it is given.
            for place in range(program.outputs):
                weights[rows, place] = _slopes(outputs[:, place], given).numpy()
        values[rows] = outputs.detach().numpy()
    return weights, values - np.einsum("nof,nf->no", weights, points)


def _slopes(outputs: Tensor, given: Tensor) -> Tensor:
    """Each example's gradient of its own output; zero where nothing depends on the input."""
    if not outputs.requires_grad:
        return torch.zeros_like(given)
    found = torch.autograd.grad(outputs.sum(), given, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(given) if found is None else found


def _run(program: PiecewiseProgram, points: np.ndarray) -> np.ndarray:
    parts = [program.run(torch.from_numpy(points[start : start + _CHUNK])) for start in range(0, len(points), _CHUNK)]
    found = torch.cat(parts).double().numpy()
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise SettingsError("the network's output is not finite", place=f"row {row}", remedy="scale the inputs")
    return found


def _largest_error(coefficients: np.ndarray, intercepts: np.ndarray, data: PointSet) -> float:
    """The largest deviation of the local models from the network over the examples."""
    largest = 0.0
    for start in range(0, len(data.points), _CHUNK):
        rows = slice(start, start + _CHUNK)
        region = data.region[rows]
        found = np.einsum("nof,nf->no", coefficients[region], data.points[rows]) + intercepts[region]
        largest = max(largest, float(np.abs(found - data.output[rows]).max()))
    return largest


def _check_inside(
    program: PiecewiseProgram,
    points: np.ndarray,
    regions: np.ndarray,
    models: tuple[np.ndarray, np.ndarray],
    *,
    scale: np.ndarray,
    seed: int,
) -> tuple[float, float]:
    """The largest deviation at a random point of each cell, and the points' median distance in standard deviations.

    From the example a step of one standard deviation is halved until it ends in the cell; nan where it never does.
    """
    scale = np.where(scale > 0, scale, 1.0)
    step = np.random.default_rng(seed).standard_normal(points.shape)
    step *= scale / np.linalg.norm(step, axis=1, keepdims=True)
    waiting = np.arange(len(points))
    for _ in range(_HALVINGS):
        same = (_patterns(program, points[waiting] + step[waiting])[0] == regions[waiting]).all(axis=1)
        waiting = waiting[~same]
        if not len(waiting):
            break
        step[waiting] /= 2
    inside = np.setdiff1d(np.arange(len(points)), waiting)
    if not len(inside):
        return float("nan"), float("nan")
    others = PointSet(
        "inside", points[inside] + step[inside], np.empty(0), _run(program, points[inside] + step[inside]), inside
    )
    distance = np.linalg.norm(step[inside] / scale, axis=1)
    return _largest_error(*models, others), float(np.median(distance))


def _layers(program: PiecewiseProgram, on: list[np.ndarray], examples: int) -> tuple[KinkLayer, ...]:
    """The kinks with how many of their bits never change on the data; a maximum has no such bits."""
    return tuple(
        KinkLayer(
            name=kink.module or kink.op,
            op=kink.op,
            bits=kink.quantities * (max(1, (kink.members - 1).bit_length()) if kink.kind == "maximum" else 1),
            never_on=0 if kink.kind == "maximum" else int((counts == 0).sum()),
            always_on=0 if kink.kind == "maximum" else int((counts == examples).sum()),
        )
        for kink, counts in zip(program.kinks, on, strict=True)
    )


def _balance(target: Targets, region: np.ndarray, count: int) -> np.ndarray:
    """The share of each class in each region."""
    classes = len(target.classes)
    if not classes or not len(target.values):
        return np.empty((count, 0))
    table = np.bincount(region * classes + target.values, minlength=count * classes).reshape(count, classes)
    return table / table.sum(axis=1, keepdims=True)


def _locate(patterns: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Each pattern's region; −1 for one that is not there."""
    if not regions.shape[1]:
        return np.zeros(len(patterns), dtype=np.int32)
    keys = {key.tobytes(): at for at, key in enumerate(regions)}
    return np.array([keys.get(one.tobytes(), -1) for one in patterns], dtype=np.int32)


def _held_out(
    program: PiecewiseProgram,
    given: tuple[Any, Any] | None,
    shape: tuple[int, ...],
    regions: np.ndarray,
    target: Targets,
) -> PointSet | None:
    """Other examples with the network's outputs and the regions they fall in."""
    if given is None:
        return None
    _, points, other = _read_points(given[0], None, "held_out")
    if other != shape:
        raise DataError(
            f"a held-out example is of shape {other}, one of X of shape {shape}",
            place="held_out",
            remedy="prepare them alike",
        )
    region = _locate(_patterns(program, points)[0], regions)
    return PointSet("held out", points, target.read(given[1], len(points)), _run(program, points), region)


def _sample_unvisited(
    program: PiecewiseProgram, points: np.ndarray, regions: np.ndarray, wanted: int, seed: int
) -> tuple[tuple[PointSet, ...], dict[str, float]]:
    """One point of each of so many cells that no example visits, by two ways of drawing, and how the drawing went."""
    if wanted < 0:
        raise SettingsError(f"unvisited is {wanted}", place="unvisited", remedy="give 0 or more")
    rng = np.random.default_rng(seed)
    low, high = points.min(axis=0), points.max(axis=0)

    def between(count: int) -> np.ndarray:
        pairs = rng.integers(0, len(points), (2, count))
        return points[pairs[0]] + rng.random((count, 1)) * (points[pairs[1]] - points[pairs[0]])

    def around(count: int) -> np.ndarray:
        return low + rng.random((count, len(low))) * (high - low)

    sets: list[PointSet] = []
    settings: dict[str, float] = {"seed": float(seed)}
    known = {row.tobytes() for row in regions}
    for name, draw in (("between examples", between), ("in the data's box", around)) if wanted else ():
        found: list[np.ndarray] = []
        seen, drawn, visited = set(known), 0, 0
        for _ in range(_ROUNDS):
            given = draw(max(64, 2 * wanted))
            keys = [row.tobytes() for row in _patterns(program, given)[0]]
            drawn += len(keys)
            for point, key in zip(given, keys, strict=True):
                visited += key in known
                if key not in seen and len(found) < wanted:
                    seen.add(key)
                    found.append(point)
            if len(found) == wanted:
                break
        settings |= {f"{name}, drawn": float(drawn), f"{name}, in visited cells": visited / drawn}
        chosen = np.array(found).reshape(-1, points.shape[1])
        output = _run(program, chosen) if len(chosen) else np.empty((0, program.outputs))
        region = np.full(len(chosen), -1, dtype=np.int32)
        sets.append(PointSet(f"unvisited cells, {name}", chosen, np.empty(0), output, region))
    return tuple(sets), settings
