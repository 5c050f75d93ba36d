"""The cells of a slice on each of which a network is one linear model: exact polygons, patterns, boundaries, proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result
from pellucid.results.slice_plane import SlicePlane

__all__ = ["BoundaryLine", "LinearRegions", "RegionKink", "RegionPatterns", "RegionProofs"]


@dataclass(frozen=True)
class RegionKink:
    """One operation that bends the network."""

    op: str  # "relu"
    module: str
    kind: Literal["threshold", "maximum"]
    first: int  # the number of its first quantity (threshold) or group (maximum) in ``edge_kink``
    quantities: int
    units: int  # quantity q belongs to unit q modulo units
    shape: tuple[int, ...]  # of its output, one example
    cells: int  # of the slice once this operation has bent it


@dataclass(frozen=True, eq=False)
class RegionPatterns:
    """What one operation does in the cells that it leaves."""

    parent: np.ndarray  # (its cells,) the cell of the operation before that each is a part of; int32
    bits: (
        np.ndarray
    )  # threshold: (its cells, bytes) one bit a quantity, lowest first; maximum: (its cells, groups) who wins


@dataclass(frozen=True)
class RegionProofs:
    """What was verified of the cells, and what is degenerate about them."""

    area: float  # of all cells
    slice_area: float
    euler: int  # vertices − edges + cells; 1 for a disk
    open_edges: int  # edges inside the slice with a cell on one side only; 0
    vertex_error: (
        float  # worst |affine map of a cell − model| at its vertices, as a share of the outputs' size; nan: unmeasured
    )
    inside_error: float  # the same at a point inside each cell
    checked: int  # cells in which it was compared
    welded: int  # vertices that fell together: more than two lines meet there, or two lines are one
    unclear: int  # lines left out of a cell, because rounding does not say whether they cross it
    thin: int  # cells narrower than 1e-9 of the slice
    smallest: float  # area of the smallest cell
    linearised: float  # 0: exact; else the largest error of the linear pieces found at check points

    @property
    def hold(self) -> bool:
        """Whether everything that was checked is as it must be."""
        exact = self.linearised == 0
        errors = [error for error in (self.vertex_error, self.inside_error) if not np.isnan(error)]
        return (
            abs(self.area - self.slice_area) <= 1e-9 * self.slice_area
            and self.euler == 1
            and self.open_edges == 0
            and (not exact or all(error <= 1e-9 for error in errors))
        )


@dataclass(frozen=True, eq=False)
class BoundaryLine:
    """One piece of a decision boundary: straight within each cell."""

    classes: tuple[int, int]  # the two that tie for the largest output
    points: np.ndarray  # (points, 2) as (s, t)
    closed: bool


@dataclass(frozen=True, eq=False)
class LinearRegions(Result):
    """Every cell of a slice on which the network is linear, with shared vertices. Cells' rings go anticlockwise."""

    schema: ClassVar[str] = "linear_regions/1"

    model: str
    plane: SlicePlane
    kinks: tuple[RegionKink, ...]
    vertices: np.ndarray  # (vertices, 2) as (s, t)
    cell_start: np.ndarray  # (cells + 1,) where each ring begins
    cell_vertex: np.ndarray  # the rings' vertices
    cell_edge: np.ndarray  # the edge from each of these to the next one of its ring
    edge_vertex: np.ndarray  # (edges, 2)
    edge_cell: np.ndarray  # (edges, 2) on its left, on its right; −1 outside the slice
    edge_kink: np.ndarray  # (edges,) what bends there, numbered through all kinks; −1 for the border
    patterns: tuple[RegionPatterns, ...]  # one a kink
    outputs: np.ndarray  # (vertices, outputs) of the network; empty if not asked for
    proofs: RegionProofs
    classes: tuple[str, ...] = ()  # what the outputs are called; empty if nobody said

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.cell_start) - 1

    def polygon(self, cell: int) -> np.ndarray:
        """The corners of a cell, anticlockwise; corners × 2."""
        return self.vertices[self.cell_vertex[self.cell_start[cell] : self.cell_start[cell + 1]]]

    def neighbours(self, cell: int) -> list[tuple[int, RegionKink, int]]:
        """The cells next to a cell, each with the kink between them and which of its quantities bends there."""
        found: list[tuple[int, RegionKink, int]] = []
        for edge in self.cell_edge[self.cell_start[cell] : self.cell_start[cell + 1]].tolist():
            left, right = (int(one) for one in self.edge_cell[edge])
            other = right if left == cell else left
            if other >= 0:
                kink = self.kink_of(int(self.edge_kink[edge]))
                found.append((other, *kink))
        return found

    def kink_of(self, number: int) -> tuple[RegionKink, int]:
        """The operation and its quantity (or group) behind a number in ``edge_kink``."""
        kink = next(one for one in reversed(self.kinks) if one.first <= number)
        return kink, number - kink.first

    def bends(self, module: str, quantity: int) -> np.ndarray:
        """Where one unit bends the network: segments × 2 ends × (s, t)."""
        numbers = [
            kink.first + one
            for kink in self.kinks
            if kink.module == module
            for one in range(quantity, kink.quantities, max(kink.units, 1))
        ]
        if not numbers:
            raise SettingsError(
                f"no unit {quantity} of {module!r} bends anything",
                place="module",
                remedy="name one of " + ", ".join(dict.fromkeys(repr(kink.module) for kink in self.kinks)),
            )
        return self.vertices[self.edge_vertex[np.isin(self.edge_kink, numbers)]]

    def pattern(self, cells: Sequence[int] | np.ndarray, kink: int) -> np.ndarray:
        """What one operation does in some cells: cells × quantities (above the threshold?) or × groups (who wins)."""
        found = np.asarray(cells, dtype=np.int64)
        for later in range(len(self.patterns) - 1, kink, -1):
            found = self.patterns[later].parent[found]
        bits = self.patterns[kink].bits[found]
        if self.kinks[kink].kind == "maximum":
            return bits
        return np.unpackbits(bits, axis=1, bitorder="little")[:, : self.kinks[kink].quantities].astype(bool)

    def affine(self, cell: int) -> tuple[np.ndarray, np.ndarray]:
        """The linear model of a cell: output = slopes @ (s, t) + offsets; outputs × 2, and outputs.

        All corners of the cell are fitted. Rounding in the outputs reaches the slopes divided by the cell's width:
        ``slope_error`` tells how much; ``measure_input_jacobian`` at a point inside has no such limit.
        """
        corners = self.cell_vertex[self.cell_start[cell] : self.cell_start[cell + 1]]
        points, values = self.vertices[corners], self._required_outputs()[corners]
        middle, height = points.mean(0), values.mean(0)
        inverse = cast("np.ndarray", np.linalg.pinv(points - middle))
        slopes = (inverse @ (values - height)).T
        return slopes, height - slopes @ middle

    def slope_error(self, cell: int) -> float:
        """About how far rounding may move the slopes of ``affine(cell)``: large for a very thin cell."""
        corners = self.cell_vertex[self.cell_start[cell] : self.cell_start[cell + 1]]
        points = self.vertices[corners]
        narrow = float(np.linalg.svd(points - points.mean(0), compute_uv=False)[-1])
        size = float(np.abs(self._required_outputs()[corners]).max())
        return 4 * float(np.finfo(np.float64).eps) * max(size, 1e-300) / max(narrow, 1e-300)

    def locate(self, points: np.ndarray) -> np.ndarray:
        """The cell of each point (s, t); −1 outside the slice."""
        from pellucid.results.region_search import locate

        return locate(self.vertices, self.cell_start, self.cell_vertex, np.atleast_2d(np.asarray(points, np.float64)))

    def boundary(
        self, classes: tuple[int | str, int | str] | None = None, *, level: float = 0.0
    ) -> tuple[BoundaryLine, ...]:
        """The decision boundary within the slice, exact: where the two largest outputs tie.

        Args:
            classes: Only where these two tie, by number or name; None for all. A network of one output has the classes
                0 and 1.
            level: For a network of one output: the value that parts its classes.
        """
        from pellucid.results.region_boundaries import join_segments

        ends, pairs = self._segments(level)
        if classes is not None:
            wanted = sorted(self._number_of(one) for one in classes)
            if len(wanted) != 2 or not 0 <= wanted[0] < wanted[1] < max(2, self._required_outputs().shape[1]):
                raise SettingsError(
                    f"{classes} are not two classes of the network", place="classes", remedy="give two, such as (3, 8)"
                )
            chosen = (pairs == wanted).all(1)
            ends, pairs = ends[chosen], pairs[chosen]
        lines: list[BoundaryLine] = []
        for pair in np.unique(pairs, axis=0):
            for points, closed in join_segments(ends[(pairs == pair).all(1)]):
                lines.append(BoundaryLine((int(pair[0]), int(pair[1])), points, closed))
        return tuple(lines)

    def distance(self, x: np.ndarray, *, level: float = 0.0) -> np.ndarray:
        """How far points (s, t) of the slice are from the nearest decision boundary in it, in units of the input space.

        Infinite where the slice has none. A boundary just outside the slice's ranges is not seen.
        """
        from pellucid.results.region_boundaries import distance_to_segments

        u, v = self.plane.u, self.plane.v
        metric = np.linalg.cholesky(np.array([[u @ u, u @ v], [u @ v, v @ v]]))
        ends, _ = self._segments(level)
        points = np.atleast_2d(np.asarray(x, dtype=np.float64))
        return distance_to_segments(points @ metric, ends @ metric)

    def _number_of(self, name: int | str) -> int:
        """The number of a class; −1 if none has the name."""
        if isinstance(name, str):
            return self.classes.index(name) if name in self.classes else -1
        return int(name)

    def _segments(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        from pellucid.results.region_boundaries import boundary_segments

        outputs = self._required_outputs()
        if outputs.shape[1] == 1:
            outputs = np.concatenate([np.full_like(outputs, level), outputs], 1)
        return boundary_segments(self.vertices, self.cell_start, self.cell_vertex, outputs)

    def _required_outputs(self) -> np.ndarray:
        if self.outputs.size == 0:
            raise SettingsError(
                "the network's outputs were not measured", place="outputs=False", remedy="measure with outputs=True"
            )
        return self.outputs
