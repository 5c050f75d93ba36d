"""A triangulation of a rectangle that follows a smooth function to a stated error at check points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pellucid.core.planar_mesh import PlanarMesh
from pellucid.errors import SettingsError

__all__ = ["refine"]

_START = 9
_SHARES = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]) / 2
_CHECKS = np.concatenate([_SHARES, [[1 / 3] * 3], [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]])


def refine(
    run: Callable[[np.ndarray], np.ndarray],
    low: tuple[float, float],
    high: tuple[float, float],
    error: float,
    max_cells: int,
) -> tuple[PlanarMesh, float]:
    """Triangles, each finer where the function bends more, with vertices on the function.

    Args:
        run: The function's values at points: n × 2 in, n × outputs out.
        low: One corner of the rectangle.
        high: The opposite one.
        error: The largest difference allowed at the seven check points of each triangle: the middles of its sides, its
            centre, and three points around that.
        max_cells: The most triangles.

    Returns:
        The triangles, and the largest difference found at a check point.

    Raises:
        SettingsError: the error is not positive, or takes more triangles than that.
    """
    from scipy.spatial import Delaunay

    if not error > 0:
        raise SettingsError(f"an error of {error} cannot be reached", place="linearise", remedy="give more than 0")
    axes = [np.linspace(a, b, _START) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    values = run(points)
    corner, size = np.array(low), np.array(high) - np.array(low)
    while True:
        triangles = Delaunay((points - corner) / size).simplices
        if len(triangles) > max_cells:
            raise SettingsError(
                f"an error of {error} takes more than {max_cells:,} triangles",
                place="linearise",
                remedy="allow a larger error, or give a larger max_cells",
            )
        places = np.einsum("ck,tkd->tcd", _CHECKS, points[triangles])
        found = run(places.reshape(-1, 2)).reshape(*places.shape[:2], -1)
        gaps = np.abs(found - np.einsum("ck,tko->tco", _CHECKS, values[triangles])).max(-1)
        if gaps.max() <= error:
            return _mesh(points, triangles), float(gaps.max())
        new = np.unique(places[:, :4][gaps[:, :4] > error], axis=0)
        if not len(new):  # only the points around a centre are off
            new = np.unique(places[(gaps > error).any(1), 3], axis=0)
        points = np.concatenate([points, new])
        values = np.concatenate([values, run(new)])


def _mesh(points: np.ndarray, triangles: np.ndarray) -> PlanarMesh:
    """The triangles, anticlockwise, with their edges."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    rings = np.where(turned[:, None], triangles[:, ::-1], triangles).astype(np.int32)
    ends = np.stack([rings, np.roll(rings, -1, 1)], -1).reshape(-1, 2)
    keys, first, edge = np.unique(np.sort(ends, 1), axis=0, return_index=True, return_inverse=True)
    edge = edge.reshape(-1)
    owner = np.repeat(np.arange(len(rings), dtype=np.int32), 3)
    cells = np.full((len(keys), 2), -1, np.int32)
    ahead = (ends[first][edge] == ends).all(1)
    cells[edge[ahead], 0] = owner[ahead]
    cells[edge[~ahead], 1] = owner[~ahead]
    return PlanarMesh(
        points,
        np.arange(0, 3 * len(rings) + 1, 3, dtype=np.int32),
        rings.reshape(-1),
        edge.astype(np.int32),
        ends[first].astype(np.int32),
        cells,
        np.where(cells.min(1) < 0, -1, 0).astype(np.int32),
    )
