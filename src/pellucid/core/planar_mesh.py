"""A plane rectangle divided into convex cells that share their vertices and edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PlanarMesh", "euler_characteristic", "rectangle"]


@dataclass(frozen=True, eq=False)
class PlanarMesh:
    """Convex cells, anticlockwise, with welded vertices.

    Attributes:
        xy: The vertices; v × 2.
        ring_start: Where each cell's ring begins; cells + 1.
        ring_vertex: The cells' vertices, one ring after another.
        ring_edge: The edge from each of these to the next one of its ring.
        edge_vertex: The two ends of each edge; e × 2.
        edge_cell: The cells on its left and on its right, seen from the first end; −1 outside; e × 2.
        edge_kink: What bends there; −1 for the border of the rectangle.
    """

    xy: np.ndarray
    ring_start: np.ndarray
    ring_vertex: np.ndarray
    ring_edge: np.ndarray
    edge_vertex: np.ndarray
    edge_cell: np.ndarray
    edge_kink: np.ndarray

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.ring_start) - 1


def rectangle(low: tuple[float, float], high: tuple[float, float]) -> PlanarMesh:
    """One cell: a rectangle.

    >>> euler_characteristic(rectangle((0.0, 0.0), (2.0, 3.0)))
    1
    """
    ring = np.arange(4, dtype=np.int32)
    return PlanarMesh(
        xy=np.array([low, (high[0], low[1]), high, (low[0], high[1])], dtype=np.float64),
        ring_start=np.array([0, 4], dtype=np.int32),
        ring_vertex=ring,
        ring_edge=ring.copy(),
        edge_vertex=np.stack([ring, (ring + 1) % 4], 1).astype(np.int32),
        edge_cell=np.array([[0, -1]] * 4, dtype=np.int32),
        edge_kink=np.full(4, -1, dtype=np.int32),
    )


def euler_characteristic(mesh: PlanarMesh) -> int:
    """Vertices − edges + cells, of the vertices and edges in use; 1 for a disk without holes."""
    used = np.zeros(len(mesh.xy), dtype=bool)
    used[mesh.ring_vertex] = True
    edges = np.zeros(len(mesh.edge_vertex), dtype=bool)
    edges[mesh.ring_edge] = True
    return int(used.sum()) - int(edges.sum()) + mesh.cells
