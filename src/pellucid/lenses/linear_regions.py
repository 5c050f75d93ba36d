"""On which pieces of a slice is a network one linear model, and which unit bends it in between?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pellucid.capture.flat_network import flat_network_on
from pellucid.capture.piecewise import PiecewiseProgram, read_piecewise
from pellucid.capture.piecewise_resume import read_resumable
from pellucid.capture.piecewise_stages import Stage, read_stages, winners
from pellucid.capture.piecewise_states import CarriedStates
from pellucid.core.planar_carry import owners_of_vertices
from pellucid.core.planar_mesh import PlanarMesh, cell_areas, euler_characteristic, rectangle
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.results.linear_regions import LinearRegions, RegionKink, RegionPatterns, RegionProofs
from pellucid.results.slice_plane import SlicePlane

__all__ = ["measure_linear_regions"]

_BATCH = 1 << 20
"""How many numbers of one layer are computed at once."""

_SAMPLES = 12

_WORTH = 350
"""From how much work for a number of a state it pays to carry states on instead of running the network again."""

_ROOM = 1 << 30
"""How many bytes of states are kept from kink to kink."""


def measure_linear_regions(
    model: nn.Module,
    slice_: Slice,
    *,
    max_cells: int = 2_000_000,
    outputs: bool = True,
    check: bool = True,
    linearise: float | None = None,
) -> LinearRegions:
    """Into which cells does a network divide a slice, on each of which it is exactly linear?

    The network's own functions run in float64 and evaluation mode at the cells' corners; every operation that bends it
    (ReLU and its family, abs, clamp, maxima, max pooling) cuts the cells along the straight lines where it bends. A
    network with convolutions is resumed at each of these operations, from values carried to the new corners within
    the cells on which they are affine; the check then compares every cell with the unchanged network at a point inside.

    Args:
        model: Linear, convolution and pooling layers, batch normalization, residual and concatenated branches, any
            reshape, and activations made of straight pieces.
        slice_: The plane, and how far it reaches: ``slice_features``, ``slice_principal``, ``slice_examples`` …
        max_cells: The most cells to make, while it runs.
        outputs: Keep the network's outputs at the vertices: for linear models, boundaries and distances.
        check: Compare every cell's linear model with the network at two points inside; at one if states are carried.
        linearise: For a network with a smooth activation: the largest error of an output allowed, at check points,
            for a triangulation that stands in its place. None refuses such a network.

    Returns:
        ``LinearRegions`` with the polygons, what bends at each edge, patterns and proofs.

    Raises:
        SettingsError: the network is smooth somewhere, jumps, has weights that are not finite, or too many cells.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> plane = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    >>> measure_linear_regions(net, plane).proofs.hold
    True
    """
    network = flat_network_on(model, slice_)
    place = _Place(slice_)
    program = read_piecewise(network, place.points(np.array([[0.3, 0.7]]) * 0.5))
    if program.obstacles and linearise is not None:
        from pellucid.core.planar_refinement import refine

        mesh, error = refine(lambda xy: _outputs(program, place, xy), place.low, place.high, linearise, max_cells)
        return _result(model, slice_, program, place, _Cut(mesh), outputs=True, check=False, linearised=error)
    program.require_piecewise()
    cells = rectangle(place.low, place.high)
    cut = _Cut(cells, _states(program, place, cells))
    for stage in read_stages(program):
        cut.run(stage, place, max_cells)
    return _result(model, slice_, program, place, cut, outputs=outputs, check=check and outputs, linearised=0.0)


def _states(program: PiecewiseProgram, place: _Place, cells: PlanarMesh) -> CarriedStates | None:
    """The states to carry from kink to kink; None where running the whole network again costs less, or is the only way.

    It costs less for networks with convolutions, which are slow in float64, and for dense layers of a thousand units.
    """
    if not program.kinks:
        return None
    resumable = read_resumable(program, place.samples()[:: _SAMPLES - 1])
    if resumable is None or resumable.work < _WORTH * sum(resumable.sizes):
        return None
    return CarriedStates(resumable, place.points, cells, room=_ROOM)


class _Place:
    """Where the slice lies: from (s, t) to points of the network's space."""

    def __init__(self, slice_: Slice) -> None:
        (a, b), (c, d) = slice_.u_range, slice_.v_range
        self.low, self.high = (float(a), float(c)), (float(b), float(d))
        if not (np.isfinite([a, b, c, d]).all() and a < b and c < d):
            raise SettingsError("the slice's range is empty", place="slice_", remedy="give (lowest, highest)")
        self.extent = max(b - a, d - c)
        self.origin = torch.from_numpy(np.array(slice_.origin, dtype=np.float64))
        self.basis = torch.from_numpy(np.stack([slice_.u, slice_.v]).astype(np.float64))
        if not (torch.isfinite(self.origin).all() and torch.isfinite(self.basis).all()):
            raise SettingsError("the slice is not finite", place="slice_", remedy="give finite numbers")

    def points(self, xy: np.ndarray) -> torch.Tensor:
        return self.origin + torch.from_numpy(np.ascontiguousarray(xy)) @ self.basis

    def samples(self) -> torch.Tensor:
        """A grid over the slice, its corners included."""
        s, t = (np.linspace(low, high, _SAMPLES) for low, high in zip(self.low, self.high, strict=True))
        return self.points(np.stack(np.meshgrid(s, t), -1).reshape(-1, 2))


class _Cut:
    """The cells so far."""

    def __init__(self, mesh: PlanarMesh, states: CarriedStates | None = None) -> None:
        self.mesh, self.states = mesh, states
        self.patterns: list[RegionPatterns] = []
        self.counts: list[int] = []
        self.first = 0
        self.welded = self.unclear = 0
        self._rounds: list[np.ndarray] = []
        self._parent: np.ndarray | None = None

    def run(self, stage: Stage, place: _Place, max_cells: int) -> None:
        """Cut the cells by a stage."""
        from pellucid.core.planar_partition import divide

        evaluate = self._evaluation(stage, place)
        scale = stage.scale(place.samples())
        if not np.isfinite(scale).all():
            raise SettingsError(
                f"{stage.kink.op} is given numbers that are not finite",
                place=stage.kink.module,
                remedy="make the slice smaller, or look for the first such number with a trace",
            )
        mesh, self.mesh = self.mesh, rectangle((0.0, 0.0), (1.0, 1.0))  # nothing else holds the coarser cells now
        found = divide(mesh, evaluate, scale, extent=place.extent, offset=self.first, max_cells=max_cells)
        self.mesh = found.mesh
        self.welded, self.unclear = self.welded + found.welded, self.unclear + found.unclear
        if stage.kink.kind == "threshold":
            size = -(-stage.units // 8)
            bits = found.words.view(np.uint8)
            bits = bits if size == bits.shape[1] else np.ascontiguousarray(bits[:, :size])
            self._finish(stage, RegionPatterns(found.parent, bits))
        else:
            self._play(stage, found.parent, found.words)

    def _evaluation(self, stage: Stage, place: _Place) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """How the stage's quantities are found at vertices of the present cells: by their coordinates and numbers."""
        states = self.states
        if states is None:
            return lambda xy, _: stage.quantities(place.points(xy)).numpy()
        if not stage.round:
            return lambda _, vertices: stage.compare(states.entries_at_vertices(vertices)).numpy()
        assert self._parent is not None
        owners = owners_of_vertices(self.mesh, self._parent)
        return lambda xy, vertices: stage.compare(states.entries_inside(xy, owners[vertices])).numpy()

    def _play(self, stage: Stage, parent: np.ndarray, words: np.ndarray) -> None:
        """One round of a maximum; after the last one, cells in which the same members win are joined again."""
        from pellucid.core.planar_merge import merge_cells

        kinks = self.mesh.edge_kink
        ours = kinks >= self.first
        kinks[ours] = self.first + (kinks[ours] - self.first) // stage.pairs
        self._rounds = [*(rows[parent] for rows in self._rounds), words]
        self._parent = parent if self._parent is None else self._parent[parent]
        if not stage.last:
            return
        best = winners(stage.kink, self._rounds)
        left, right = self.mesh.edge_cell.T
        kept = ~ours
        for start in range(0, len(kept), 65_536):
            part = slice(start, start + 65_536)
            inner = ours[part] & (left[part] >= 0) & (right[part] >= 0)
            differ = (best[left[part][inner]] != best[right[part][inner]]).any(1)
            kept[part][inner] = differ
        self.mesh, member = merge_cells(self.mesh, kept)
        self._finish(stage, RegionPatterns(self._parent[member], best[member]))
        self._rounds, self._parent = [], None

    def _finish(self, stage: Stage, patterns: RegionPatterns) -> None:
        self.patterns.append(patterns)
        self.counts.append(self.mesh.cells)
        if self.states is not None:
            self.states.enter(stage.kink.index + 1, self.mesh, patterns.parent)
        self.first += stage.kink.quantities


def _outputs(program: PiecewiseProgram, place: _Place, xy: np.ndarray) -> np.ndarray:
    """The network's outputs at points of the slice, in batches."""
    widest = max([kink.quantities * kink.members for kink in program.kinks] + [len(place.origin), program.outputs])
    found = np.empty((len(xy), program.outputs))
    step = max(64, _BATCH // widest)
    for first in range(0, len(xy), step):
        found[first : first + step] = program.run(place.points(xy[first : first + step])).numpy()
    return found


def _result(
    model: nn.Module,
    slice_: Slice,
    program: PiecewiseProgram,
    place: _Place,
    cut: _Cut,
    *,
    outputs: bool,
    check: bool,
    linearised: float,
) -> LinearRegions:
    mesh, kinks, first = cut.mesh, [], 0
    for kink, cells in zip(program.kinks, cut.counts, strict=False):
        kinks.append(RegionKink(kink.op, kink.module, kink.kind, first, kink.quantities, kink.units, kink.shape, cells))
        first += kink.quantities
    if linearised:
        kinks = [RegionKink("linearisation", "", "threshold", 0, 1, 1, (), mesh.cells)]
    values = np.empty((0, 0))
    if outputs:
        known = cut.states
        values = _outputs(program, place, mesh.xy) if known is None else known.at_vertices(np.arange(len(mesh.xy)))
    return LinearRegions(
        model=type(model).__name__,
        plane=SlicePlane.of(slice_),
        kinks=tuple(kinks),
        vertices=mesh.xy,
        cell_start=mesh.ring_start,
        cell_vertex=mesh.ring_vertex,
        cell_edge=mesh.ring_edge,
        edge_vertex=mesh.edge_vertex,
        edge_cell=mesh.edge_cell,
        edge_kink=mesh.edge_kink,
        patterns=tuple(cut.patterns),
        outputs=values,
        proofs=_prove(mesh, cut, place, values, check, lambda xy: _outputs(program, place, xy), linearised),
    )


def _prove(  # noqa: PLR0917 - what is to be proved, of what
    mesh: PlanarMesh,
    cut: _Cut,
    place: _Place,
    values: np.ndarray,
    check: bool,
    run: Callable[[np.ndarray], np.ndarray],
    linearised: float,
) -> RegionProofs:
    """Area, topology, and the agreement of each cell's linear model with the network."""
    from pellucid.core.planar_checks import affine_residual, mean_inside, widths

    areas = cell_areas(mesh)
    vertex = inside = float("nan")
    if check:
        size = float(np.abs(values).max()) or 1.0
        vertex = affine_residual(mesh.xy, mesh.ring_start, mesh.ring_vertex, values) / size
        inside = 0.0
        for weights in (0, 1) if cut.states is None else (1,):  # one, where the values came another way
            points, expected = mean_inside(mesh.xy, mesh.ring_start, mesh.ring_vertex, values, weights)
            inside = max(inside, float(np.abs(run(points) - expected).max()) / size)
    border = mesh.edge_cell.min(1) < 0
    return RegionProofs(
        area=float(np.sum(areas)),
        slice_area=(place.high[0] - place.low[0]) * (place.high[1] - place.low[1]),
        euler=euler_characteristic(mesh),
        open_edges=int((border & (mesh.edge_kink >= 0)).sum()),
        vertex_error=vertex,
        inside_error=inside,
        checked=mesh.cells if check else 0,
        welded=cut.welded,
        unclear=cut.unclear,
        thin=int((widths(mesh.xy, mesh.ring_start, mesh.ring_vertex, areas) < 1e-9 * place.extent).sum()),
        smallest=float(areas.min()),
        linearised=linearised,
    )
