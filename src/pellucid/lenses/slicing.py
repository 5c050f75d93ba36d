"""Planes through a space of any dimension: two features, two principal directions, three examples, two latent units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from pellucid.core.slices import Slice
from pellucid.errors import DataError, SettingsError

__all__ = ["slice_directions", "slice_examples", "slice_features", "slice_latent", "slice_principal"]

_MARGIN = 0.1
_MOST_POINTS = 2000
_BATCH = 256
_PARALLEL = 1e-9
"""How long the second direction may be after the first is taken out of it, as a share of its length, to count."""


def slice_features(
    X: Any,  # noqa: N803 - what everybody calls the examples
    i: int | str | tuple[int, ...],
    j: int | str | tuple[int, ...],
    *,
    y: Any = None,
    at: Any = None,
    margin: float = _MARGIN,
) -> Slice:
    """The plane in which two features vary; s and t are the features' own values.

    Args:
        X: Examples: an array, a tensor or a DataFrame; of any shape per example.
        i: The first feature: a column's name, its place from 0, or an index such as ``(channel, row, column)``.
        j: The second.
        y: The class number of each example.
        at: What all other features are kept at: one example. None takes the examples' mean.
        margin: How far the slice reaches beyond the examples, as a share of their range.

    Returns:
        A ``Slice`` with (at most 2,000 of) the examples as its points.

    Raises:
        DataError: the examples are not numbers, not finite or none.
        SettingsError: there is no such feature, or both are the same.

    >>> found = slice_features(np.array([[0.0, 5.0, 1.0], [10.0, 7.0, 3.0]]), 0, 2)
    >>> found.origin.tolist(), found.u_range
    ([0.0, 6.0, 0.0], (-1.0, 11.0))
    """
    rows, shape, names = _examples(X)
    if rows.shape[1] < 2:
        raise _one_dimensional()
    first, second = (_feature(one, shape, names) for one in (i, j))
    if first == second:
        raise SettingsError("the two features are the same", place="i, j", remedy="name two different features")
    origin = rows.mean(0) if at is None else _one(at, rows.shape[1], "at")
    u, v = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    u[first] = v[second] = 1.0
    origin[[first, second]] = 0.0
    labels = (_label(first, shape, names), _label(second, shape, names))
    return _through(rows, y, origin, u, v, shape=shape, labels=labels, margin=margin)


def slice_principal(X: Any, *, y: Any = None, margin: float = _MARGIN) -> Slice:  # noqa: N803
    """The plane through the examples' mean along the two directions in which they vary most.

    Args:
        X: Examples: an array, a tensor or a DataFrame; of any shape per example.
        y: The class number of each example.
        margin: How far the slice reaches beyond the examples, as a share of their range.

    Returns:
        A ``Slice`` with orthonormal directions and (at most 2,000 of) the examples as its points.

    Raises:
        DataError: the examples are not finite numbers, or do not differ.
    """
    rows, shape, _ = _examples(X)
    if rows.shape[1] < 2:
        raise _one_dimensional()
    from sklearn.decomposition import PCA

    if len(rows) < 2 or not np.ptp(rows, axis=0).any():
        raise DataError("the examples do not differ", place="X", remedy="give at least two different examples")
    if len(rows) == 2:
        u = _unit(rows[1] - rows[0])
        directions, shares = np.stack([u, _across(u)]), np.array([1.0, 0.0])
    else:
        solver = "arpack" if min(rows.shape) > 500 else "full"
        found = PCA(2, svd_solver=solver, random_state=0).fit(rows)
        directions, shares = np.asarray(found.components_), np.asarray(found.explained_variance_ratio_)
    labels = (f"direction 1 ({shares[0]:.0%} of the variance)", f"direction 2 ({shares[1]:.0%})")
    return _through(rows, y, rows.mean(0), directions[0], directions[1], shape=shape, labels=labels, margin=margin)


def slice_examples(
    a: Any,
    b: Any,
    c: Any,
    *,
    X: Any = None,  # noqa: N803
    y: Any = None,
    classes: Sequence[int] = (),
    margin: float = 0.25,
) -> Slice:
    """The plane through three examples: s runs from ``a`` to ``b``, t across it on the side of ``c``.

    Both directions have length one, so that distances in the slice are those of the space.

    Args:
        a: An example, at (0, 0).
        b: Another, at (|b − a|, 0).
        c: A third, that does not lie on the line through both.
        X: Further examples to show in the slice.
        y: Their class numbers.
        classes: The class numbers of a, b and c.
        margin: How far the slice reaches beyond the three, as a share of their range.

    Returns:
        A ``Slice`` whose first three points are a, b and c.

    Raises:
        DataError: the three lie on a line, or differ in shape.
    """
    shape = tuple(np.shape(_array(a)))
    size = math.prod(shape)
    if size < 2:
        raise _one_dimensional()
    corners = np.stack([_one(one, size, name) for one, name in ((a, "a"), (b, "b"), (c, "c"))])
    along, towards = corners[1] - corners[0], corners[2] - corners[0]
    if not along.any():
        raise DataError("a and b are the same example", place="a, b", remedy="give three different examples")
    u = _unit(along)
    across = towards - (towards @ u) * u
    if np.linalg.norm(across) <= _PARALLEL * max(np.linalg.norm(towards), np.linalg.norm(along)):
        raise DataError("the three examples lie on one line", place="a, b, c", remedy="give a third off that line")
    across -= (across @ u) * u
    plane = Slice(corners[0], u, _unit(across), (0.0, 1.0), (0.0, 1.0), shape, ("from a to b", "across, towards c"))
    numbers = np.array(classes, dtype=np.int64) if len(classes) else np.full(3, -1)
    if len(numbers) != 3:
        raise SettingsError("there must be three classes", place="classes", remedy="give those of a, b and c")
    plane = _reaching(plane, plane.project(corners), margin)
    if X is None:
        return _carrying(plane, corners, numbers)
    rows, _, _ = _examples(X)
    if rows.shape[1] != size:
        raise DataError("X has examples of another size than a", place="X", remedy="give examples of one shape")
    return _carrying(plane, np.concatenate([corners, rows]), np.concatenate([numbers, _classes(y, len(rows))]))


def slice_directions(
    origin: Any,
    u: Any,
    v: Any,
    *,
    u_range: Sequence[float] | None = None,
    v_range: Sequence[float] | None = None,
    X: Any = None,  # noqa: N803
    y: Any = None,
    labels: tuple[str, str] = ("s", "t"),
    margin: float = _MARGIN,
) -> Slice:
    """Any plane: the points origin + s·u + t·v.

    Args:
        origin: The point of s = t = 0; its shape is that of an example.
        u: The direction of s, of the same shape; taken as it is, not made a unit vector.
        v: The direction of t.
        u_range: The lowest and highest s. None takes them from ``X``, or (−1, 1) without it.
        v_range: The same for t.
        X: Examples to show in the slice.
        y: Their class numbers.
        labels: What s and t are called.
        margin: How far the slice reaches beyond the examples.

    Raises:
        DataError: the directions are parallel, nothing, or not of the origin's size.
        SettingsError: a range is empty.
    """
    shape = tuple(np.shape(_array(origin)))
    start = _one(origin, math.prod(shape), "origin")
    if len(start) < 2:
        raise _one_dimensional()
    first, second = _one(u, len(start), "u"), _one(v, len(start), "v")
    _check_plane(first, second)
    plane = Slice(start, first, second, (-1.0, 1.0), (-1.0, 1.0), shape, labels)
    if X is not None:
        rows, _, _ = _examples(X)
        if rows.shape[1] != len(start):
            raise DataError("X has examples of another size than the origin", place="X", remedy="give one shape")
        plane = _carrying(_reaching(plane, plane.project(rows), margin), rows, _classes(y, len(rows)))
    return replace(
        plane, u_range=_range(u_range, plane.u_range, "u_range"), v_range=_range(v_range, plane.v_range, "v_range")
    )


def slice_latent(
    model: nn.Module,
    X: Any,  # noqa: N803
    layer: str,
    i: int | tuple[int, ...] | None = None,
    j: int | tuple[int, ...] | None = None,
    *,
    y: Any = None,
    margin: float = _MARGIN,
) -> Slice:
    """A plane in the space of a layer's output, where the examples go through it; the network is run from there on.

    Args:
        model: The network; it runs in evaluation mode, and is left as it was.
        X: Examples of its input.
        layer: The qualified name of a module with one output.
        i: One unit of it. None for both takes the two principal directions of the outputs.
        j: Another.
        y: The class number of each example.
        margin: How far the slice reaches beyond the outputs, as a share of their range.

    Returns:
        A ``Slice`` with ``layer`` set. What reaches later layers past this one is kept as the first example makes it.

    Raises:
        SettingsError: there is no such layer, or its output is not one tensor.
    """
    outputs = _outputs_of(model, X, layer)
    if i is None and j is None:
        found = slice_principal(outputs, y=y, margin=margin)
    elif i is None or j is None:
        raise SettingsError("one unit makes no plane", place="i, j", remedy="name two units, or none")
    else:
        found = slice_features(outputs, i, j, y=y, margin=margin)
        found = replace(found, labels=(f"{layer} {found.labels[0]}", f"{layer} {found.labels[1]}"))
    first = _array(X)[0]
    return replace(found, layer=layer, template=first if _takes_tokens(model, first) else first.astype(np.float64))


def _takes_tokens(model: nn.Module, example: np.ndarray) -> bool:
    """Whether the network reads integers as they are, as one over token numbers does."""
    if example.dtype.kind not in "iu" or example.dtype.itemsize < 4:
        return False
    try:
        with torch.no_grad():
            model(torch.as_tensor(example[None].astype(np.int64)).to(next(model.parameters()).device))
    except (RuntimeError, TypeError, IndexError, ValueError):
        return False
    return True


def _outputs_of(model: nn.Module, examples: Any, layer: str) -> np.ndarray:
    """What the layer gives for every example."""
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        shown = ", ".join(repr(name) for name in list(modules)[1:13])
        raise SettingsError(f"the model has no layer {layer!r}", place="layer", remedy=f"name one of {shown}")
    weight = next(model.parameters(), torch.zeros(()))
    array = _array(examples)
    rows = torch.as_tensor(array).to(weight.device)
    kept: list[Any] = []
    modes = [(part, part.training) for part in model.modules()]
    hook = modules[layer].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        model.eval()
        rows = rows if _takes_tokens(model, array[0]) else rows.to(weight.dtype)
        kept.clear()
        with torch.no_grad():
            for batch in rows.split(_BATCH):
                model(batch)
    finally:
        hook.remove()
        for part, mode in modes:
            part.training = mode
    if not kept or not all(isinstance(one, torch.Tensor) for one in kept) or sum(map(len, kept)) != len(rows):
        raise SettingsError(
            f"{layer} does not give one tensor for every example", place="layer", remedy="name a layer that runs once"
        )
    return torch.cat(kept).double().cpu().numpy()


def _array(values: Any) -> np.ndarray:
    """A tensor, a DataFrame, a list: as an array."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _examples(values: Any) -> tuple[np.ndarray, tuple[int, ...], tuple[str, ...]]:
    """Flat float64 rows, the shape of one, and the columns' names if there are any."""
    names = tuple(str(name) for name in values.columns) if hasattr(values, "columns") else ()
    array = _array(values)
    if array.ndim < 2 or len(array) == 0:
        raise DataError(
            f"examples of shape {array.shape} are not one row for each example",
            place="X",
            remedy="give an array of shape (examples, …) with at least one",
        )
    return _numbers(array, "X").reshape(len(array), -1), array.shape[1:], names


def _numbers(array: np.ndarray, place: str) -> np.ndarray:
    try:
        rows = np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"not all of it are numbers ({error})", place=place, remedy="encode it as numbers") from error
    if not np.isfinite(rows).all():
        raise DataError("a value is missing or infinite", place=place, remedy="fill it in or leave the example out")
    return rows


def _one(value: Any, size: int, place: str) -> np.ndarray:
    """One example, flat."""
    flat = _numbers(_array(value), place).ravel()
    if len(flat) != size:
        raise DataError(f"it has {len(flat)} numbers, not {size}", place=place, remedy="give one of the same shape")
    return flat


def _one_dimensional() -> DataError:
    return DataError(
        "an input of one number has no plane", place="X", remedy="measure along a line: measure_regions_on_line"
    )


def _feature(one: Any, shape: tuple[int, ...], names: tuple[str, ...]) -> int:
    """The flat place of a feature."""
    size = math.prod(shape)
    if isinstance(one, str):
        if one not in names:
            shown = ", ".join(repr(name) for name in names[:12]) or "a number"
            raise SettingsError(f"there is no feature {one!r}", place="i, j", remedy=f"name one of {shown}")
        return names.index(one)
    index = tuple(one) if isinstance(one, tuple | list) else (one,)
    within = shape if len(index) == len(shape) else (size,)
    if len(index) != len(within) or not all(-n <= place < n for place, n in zip(index, within, strict=True)):
        raise SettingsError(
            f"there is no feature {one!r} in examples of shape {shape}", place="i, j", remedy="count from 0"
        )
    return int(np.ravel_multi_index([place % n for place, n in zip(index, within, strict=True)], within))


def _label(place: int, shape: tuple[int, ...], names: tuple[str, ...]) -> str:
    if names and len(shape) == 1:
        return names[place]
    index = np.unravel_index(place, shape)
    return "feature " + ", ".join(str(int(axis)) for axis in index)


def _classes(y: Any, count: int) -> np.ndarray:
    """The class number of each example; −1 where it has none."""
    if y is None:
        return np.full(count, -1)
    numbers = _array(y)
    if numbers.shape != (count,):
        raise DataError(f"{count} examples have {numbers.shape} classes", place="y", remedy="give one number for each")
    if numbers.dtype.kind not in "iub" and (numbers.dtype.kind != "f" or (numbers != np.round(numbers)).any()):
        return np.full(count, -1)  # quantities, not classes
    return numbers.astype(np.int64)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _across(u: np.ndarray) -> np.ndarray:
    """Some unit vector at a right angle to a unit vector."""
    other = np.zeros_like(u)
    other[np.abs(u).argmin()] = 1.0
    return _unit(other - (other @ u) * u)


def _check_plane(u: np.ndarray, v: np.ndarray) -> None:
    for direction, name in ((u, "u"), (v, "v")):
        if not direction.any():
            raise DataError("a direction of length 0 leads nowhere", place=name, remedy="give another direction")
    first, second = _unit(u), _unit(v)
    if np.linalg.norm(second - (second @ first) * first) <= _PARALLEL:
        raise DataError("the two directions are parallel", place="u, v", remedy="give two that span a plane")


def _range(given: Sequence[float] | None, otherwise: tuple[float, float], place: str) -> tuple[float, float]:
    if given is None:
        return otherwise
    low, high = float(given[0]), float(given[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SettingsError(f"from {low} to {high} is no range", place=place, remedy="give (lowest, highest)")
    return low, high


def _through(
    rows: np.ndarray,
    y: Any,
    origin: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    *,
    shape: tuple[int, ...],
    labels: tuple[str, str],
    margin: float,
) -> Slice:
    """The plane with its examples, as far as these reach."""
    plane = Slice(origin, u, v, (0.0, 1.0), (0.0, 1.0), shape, labels)
    return _carrying(_reaching(plane, plane.project(rows), margin), rows, _classes(y, len(rows)))


def _reaching(plane: Slice, coordinates: np.ndarray, margin: float) -> Slice:
    """The slice with the ranges of the coordinates and a margin; what has no range gets the other's."""
    if not (math.isfinite(margin) and margin >= 0):
        raise SettingsError(f"a margin of {margin} is none", place="margin", remedy="give a share such as 0.1")
    low, high = coordinates.min(0), coordinates.max(0)
    size = high - low
    size = np.where(size <= 1e-12 * max(1.0, float(size.max())), float(size.max()) or 2.0, size)
    middle = (low + high) / 2
    half = size * (0.5 + margin)
    (a, c), (b, d) = (middle - half).tolist(), (middle + half).tolist()
    return replace(plane, u_range=(a, b), v_range=(c, d))


def _carrying(plane: Slice, rows: np.ndarray, classes: np.ndarray) -> Slice:
    """The slice with (an even choice of) the rows as its points."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_POINTS)).round().astype(np.int64))
    if len(rows) > _MOST_POINTS:
        places = np.unique(np.concatenate([np.arange(min(3, len(rows))), places]))[:_MOST_POINTS]
    kept = rows[places]
    coordinates = plane.project(kept)
    distances = np.linalg.norm(kept - plane.embed(coordinates), axis=1)
    distances[distances <= 1e-12 * (1.0 + np.linalg.norm(kept, axis=1))] = 0.0
    return replace(plane, points=coordinates, point_classes=classes[places], distances=distances)
