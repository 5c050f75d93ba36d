"""Results without what no view draws, for documents that carry them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pellucid.results.base import Result
from pellucid.results.local_linear_models import LocalLinearModels
from pellucid.results.local_linear_simplification import PointSet

__all__ = ["slim_payload"]


def slim_payload(result: Result) -> bytes | None:
    """What is drawn of a large result, packed; None where all of it is drawn.

    Local linear models go without the points that only their figures were computed from, and with coefficients in
    single precision: a screen shows four digits.
    """
    if not isinstance(result, LocalLinearModels):
        return None
    held_out = None if result.held_out is None else _without_points(result.held_out)
    slim = replace(
        result,
        data=replace(result.data, points=result.data.points.astype(np.float32)),
        held_out=held_out,
        unvisited=tuple(_without_points(points) for points in result.unvisited),
        coefficients=result.coefficients.astype(np.float32),
        patterns=np.zeros((len(result.patterns), 0), np.uint8),
    )
    return slim.to_bytes()


def _without_points(points: PointSet) -> PointSet:
    """Their name alone."""
    nothing = np.zeros(0)
    return replace(points, points=nothing, target=nothing, output=nothing, region=np.zeros(0, np.int32))
