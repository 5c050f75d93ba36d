"""On which pieces of a slice is a network one linear model, and which unit bends it in between?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from pellucid.capture.flat_network import flat_network_on
from pellucid.capture.piecewise import Kink, PiecewiseProgram, read_piecewise
from pellucid.capture.piecewise_batches import BatchedProgram, batches_at_once
from pellucid.capture.piecewise_depth import DepthFirst
from pellucid.capture.piecewise_resume import read_resumable
from pellucid.capture.piecewise_stages import Stage, read_stages, winners
from pellucid.capture.piecewise_states import CarriedStates
from pellucid.core.planar_carry import owners_of_vertices
from pellucid.core.planar_mesh import PlanarMesh, euler_characteristic, rectangle
from pellucid.core.planar_patches import PatchesApartError
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.results.linear_regions import LinearRegions, RegionKink, RegionPatterns, RegionProofs
from pellucid.results.slice_plane import SlicePlane

__all__ = ["measure_linear_regions"]

_SAMPLES = 12

_WORTH = 350.0
"""From how much work for a number of a state it pays to carry states on instead of running the network again."""

_DEAR = 350.0
"""From how much work for a number of a state it pays to keep states."""

_SPARSE = 16
"""Of so many vertices one is computed again from the network's input; the point inside each cell depends on all."""

_ROOM = 1 << 30
"""How many bytes of them are kept from kink to kink."""


def measure_linear_regions(
    model: nn.Module,
    slice_: Slice,
    *,
    max_cells: int = 2_000_000,
    outputs: bool = True,
    check: bool = True,
    linearise: float | None = None,
    classes: Sequence[str] = (),
) -> LinearRegions:
    """Into which cells does a network divide a slice, on each of which it is exactly linear?

    The network's own functions run in float64 and evaluation mode at the cells' corners; every operation that bends it
    (ReLU and its family, abs, clamp, maxima, max pooling) cuts the cells along the straight lines where it bends. The
    network is resumed at each of these operations, from values carried to the new corners along the lines on which they
    are affine; the check then compares every cell with the unchanged network at a point inside.

    Args:
        model: Linear, convolution and pooling layers, batch normalization, residual and concatenated branches, any
            reshape, and activations made of straight pieces.
        slice_: The plane, and how far it reaches: ``slice_features``, ``slice_principal``, ``slice_examples`` …
        max_cells: The most cells to make, while it runs.
        outputs: Keep the network's outputs at the vertices: for linear models, boundaries and distances.
        check: Compare every cell's linear model with the network at a point inside that is no symmetric one.
        linearise: For a network with a smooth activation: the largest error of an output allowed, at check points,
            for a triangulation that stands in its place. None refuses such a network.
        classes: What the classes are called.

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
    names = program.named(classes)
    if program.obstacles and linearise is not None:
        from pellucid.core.planar_refinement import refine

        batched = place.batched(program)
        mesh, error = refine(batched.outputs, place.low, place.high, linearise, max_cells)
        cut = _Cut(mesh, batched)
        found = _result(model, slice_, program, place, cut, outputs=True, check=False, linearised=error)
        return replace(found, classes=names)
    program.require_piecewise()
    cells = rectangle(place.low, place.high)
    with batches_at_once() as workers:
        cut = _cut_depth_first(program, place, cells, workers, max_cells, outputs=outputs)
        if cut is None:
            cut = _Cut(cells, place.batched(program, workers), _states(program, place, cells, workers))
            stages = read_stages(program)
            for stage in stages:
                cut.run(stage, place, max_cells, ending=outputs and stage is stages[-1])
        found = _result(model, slice_, program, place, cut, outputs=outputs, check=check and outputs, linearised=0.0)
        return replace(found, classes=names)


def _cut_depth_first(
    program: PiecewiseProgram, place: _Place, cells: PlanarMesh, workers: int, max_cells: int, *, outputs: bool
) -> _Cut | None:
    """The cells of a network without maxima that can be resumed; None for another."""
    if not program.kinks or any(kink.kind != "threshold" for kink in program.kinks):
        return None
    resumable = read_resumable(program, place.samples()[:: _SAMPLES - 1])
    if resumable is None:
        return None
    scales = [stage.scale(place.samples()) for stage in read_stages(program)]
    for kink, scale in zip(program.kinks, scales, strict=True):
        _require_finite(kink, scale)
    depth = DepthFirst(
        resumable, scales, extent=place.extent, max_cells=max_cells, outputs=outputs, workers=workers
    )  # fmt: skip
    try:
        found = depth.run(cells, place.points(cells.xy))
    except PatchesApartError:
        return None
    cut = _Cut(found.mesh, place.batched(program, workers))
    cut.welded, cut.unclear, cut.outputs = found.welded, found.unclear, found.values if outputs else None
    for kink, parent, words in zip(program.kinks, found.parents, found.words, strict=True):
        cut.patterns.append(RegionPatterns(parent, _bits(words, kink.quantities)))
        cut.counts.append(len(parent))
    return cut


def _require_finite(kink: Kink, scale: np.ndarray) -> None:
    if not np.isfinite(scale).all():
        raise SettingsError(
            f"{kink.op} is given numbers that are not finite",
            place=kink.module,
            remedy="make the slice smaller, or look for the first such number with a trace",
        )


def _bits(words: np.ndarray, quantities: int) -> np.ndarray:
    """Patterns by bytes, without those that no quantity uses."""
    size, bits = -(-quantities // 8), words.view(np.uint8)
    return bits if size == bits.shape[1] else np.ascontiguousarray(bits[:, :size])


def _states(program: PiecewiseProgram, place: _Place, cells: PlanarMesh, workers: int) -> CarriedStates | None:
    """The states to carry from kink to kink; None where running the whole network again costs less, or is the only way.

    It costs less for few or narrow dense layers; convolutions are slow in float64.
    """
    if not program.kinks:
        return None
    resumable = read_resumable(program, place.samples()[:: _SAMPLES - 1], _WORTH)
    if resumable is None:
        return None
    room = _ROOM if resumable.work >= _DEAR * sum(resumable.sizes) else 0
    return CarriedStates(resumable, place.points, cells, room=room, workers=workers)


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

    def batched(self, program: PiecewiseProgram, workers: int = 1) -> BatchedProgram:
        return BatchedProgram(program, self.points, len(self.origin), workers=workers)

    def samples(self) -> torch.Tensor:
        """A grid over the slice, its corners included."""
        s, t = (np.linspace(low, high, _SAMPLES) for low, high in zip(self.low, self.high, strict=True))
        return self.points(np.stack(np.meshgrid(s, t), -1).reshape(-1, 2))


class _Cut:
    """The cells so far."""

    def __init__(self, mesh: PlanarMesh, batched: BatchedProgram, states: CarriedStates | None = None) -> None:
        self.mesh, self.batched, self.states = mesh, batched, states
        self.patterns: list[RegionPatterns] = []
        self.counts: list[int] = []
        self.first = 0
        self.welded = self.unclear = 0
        self.outputs: np.ndarray | None = None  # of the first vertices, where the last stage computed them
        self._rounds: list[np.ndarray] = []
        self._parent: np.ndarray | None = None

    def run(self, stage: Stage, place: _Place, max_cells: int, *, ending: bool) -> None:
        """Cut the cells by a stage; ``ending`` also keeps the outputs that it passes."""
        from pellucid.core.planar_partition import divide

        if ending and self.states is None and stage.last and stage.kink.kind == "threshold":
            self.outputs = np.empty((len(self.mesh.xy), stage.program.outputs))
        evaluate = self._evaluation(stage, place)
        scale = stage.scale(place.samples())
        _require_finite(stage.kink, scale)
        mesh, self.mesh = self.mesh, rectangle((0.0, 0.0), (1.0, 1.0))  # nothing else holds the coarser cells now
        found = divide(
            mesh, evaluate, scale, extent=place.extent, offset=self.first, max_cells=max_cells,
            ahead=self.batched.workers if self.batched.workers > 1 else 0,
        )  # fmt: skip
        del mesh
        self.mesh = found.mesh
        self.welded, self.unclear = self.welded + found.welded, self.unclear + found.unclear
        if stage.kink.kind == "threshold":
            self._finish(stage, RegionPatterns(found.parent, _bits(found.words, stage.units)))
        else:
            self._play(stage, found.parent, found.words)

    def _evaluation(self, stage: Stage, place: _Place) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """How the stage's quantities are found at vertices of the present cells: by their coordinates and numbers."""
        states = self.states
        if states is None:
            return lambda xy, vertices: self._from_the_start(stage, xy, vertices)
        if not stage.round:
            return lambda _, vertices: states.at_vertices_of(stage, vertices)
        assert self._parent is not None
        owners = owners_of_vertices(self.mesh, self._parent)
        return lambda xy, vertices: states.inside_of(stage, xy, owners[vertices])

    def _from_the_start(self, stage: Stage, xy: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """A stage's quantities from the network's own input; its outputs are kept where they are wanted."""
        if self.outputs is None:
            return self.batched.quantities(stage, xy)
        found, self.outputs[vertices] = self.batched.ending(stage, xy)
        return found

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
        values = cut.batched.outputs(mesh.xy, cut.outputs) if known is None else known.outputs()
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
        proofs=_prove(mesh, cut, place, values, check, linearised),
    )


def _prove(  # noqa: PLR0917 - what is to be proved, of what
    mesh: PlanarMesh,
    cut: _Cut,
    place: _Place,
    values: np.ndarray,
    check: bool,
    linearised: float,
) -> RegionProofs:
    """Area, topology, and the agreement of each cell's linear model with the network."""
    from pellucid.core.planar_checks import affine_residual, cell_areas, mean_inside, widths

    areas = cell_areas(mesh.xy, mesh.ring_start, mesh.ring_vertex)
    vertex = inside = float("nan")
    if check:
        size = float(max(values.max(), -values.min())) or 1.0
        vertex = affine_residual(mesh.xy, mesh.ring_start, mesh.ring_vertex, values) / size
        some = slice(None, None, _SPARSE)
        vertex = max(vertex, float(np.abs(cut.batched.outputs(mesh.xy[some]) - values[some]).max()) / size)
        inside = 0.0
        for first in range(0, mesh.cells, 65_536):  # in parts: no more memory than that
            points, expected = mean_inside(mesh.xy, mesh.ring_start[first : first + 65_537], mesh.ring_vertex, values)
            inside = max(inside, float(np.abs(cut.batched.outputs(points) - expected).max()) / size)
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
