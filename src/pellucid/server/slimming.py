"""Results without what no view draws, for documents and pages that show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pellucid.results.base import Result
from pellucid.results.local_linear_models import LocalLinearModels
from pellucid.results.local_linear_simplification import PointSet
from pellucid.results.neuron_surface import NeuronSurface
from pellucid.results.watched_script import WatchedScript

__all__ = ["brief_payload", "slim_payload"]


def slim_payload(result: Result) -> bytes | None:
    """What is drawn of a large result, packed; None where all of it is drawn.

    Local linear models go without the points that only their figures were computed from, and with coefficients in
    single precision: a screen shows four digits. A watched script goes without the examples and the calls that a
    diagnosis reads.
    """
    if isinstance(result, LocalLinearModels):
        return _slim_models(result).to_bytes()
    if isinstance(result, WatchedScript):
        return replace(result, calls=(), examples=()).to_bytes()
    return None


def brief_payload(result: Result) -> bytes | None:
    """What moments of training are compared by, packed: of surfaces their ranges alone; None where all of it is."""
    if not isinstance(result, NeuronSurface):
        return None
    nothing = np.zeros((0, 0, 0), dtype=np.float32)
    weightless = np.zeros((0, 0))
    layers = tuple(replace(one, values=nothing, before=nothing, weight=weightless) for one in result.layers)
    return replace(result, layers=layers).to_bytes()


def _slim_models(result: LocalLinearModels) -> LocalLinearModels:
    held_out = None if result.held_out is None else _without_points(result.held_out)
    return replace(
        result,
        data=replace(result.data, points=result.data.points.astype(np.float32)),
        held_out=held_out,
        unvisited=tuple(_without_points(points) for points in result.unvisited),
        coefficients=result.coefficients.astype(np.float32),
        patterns=np.zeros((len(result.patterns), 0), np.uint8),
    )


def _without_points(points: PointSet) -> PointSet:
    """Their name alone."""
    nothing = np.zeros(0)
    return replace(points, points=nothing, target=nothing, output=nothing, region=np.zeros(0, np.int32))
