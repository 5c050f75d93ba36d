"""A landscape, a curvature, a weight's curve and linear regions made by hand, to read renderings against."""

from __future__ import annotations

import numpy as np

from pellucid.results.curvature import Curvature, SpectralDensity
from pellucid.results.linear_regions import LinearRegions, RegionKink, RegionPatterns, RegionProofs
from pellucid.results.loss_landscape import LossLandscape, TrainingPath
from pellucid.results.regions_on_line import LineKink, RegionsOnLine
from pellucid.results.weight_curve import WeightCurve
from tests.render.surface_results_to_render import plane

__all__ = ["curvature", "linear_regions", "loss_landscape", "regions_on_line", "weight_curve"]


def loss_landscape() -> LossLandscape:
    """½ + s² + 3t², overflowing in one corner, with two checkpoints beside the plane."""
    s = np.array([-1.0, 0.0, 1.0])
    loss = 0.5 + s**2 + 3 * s[:, None] ** 2
    loss[0, 0] = np.inf
    path = TrainingPath(
        coordinates=np.array([[-1.0, 0.5], [0.0, 0.0]]),
        distance=np.array([0.25, 0.0]),
        length=np.array([3.0, 0.0]),
        loss=np.array([2.25, 0.5]),
        explained=np.array([0.75, 0.125]),
    )
    return LossLandscape(
        dimensions=2,
        directions="path",
        normalization="filter",
        statistics="running",
        loss_name="CrossEntropyLoss",
        parameters=1234,
        examples=200,
        s=s,
        t=s,
        labels=("first [b]component[/b]", "second component"),
        loss=loss,
        center_loss=0.5,
        lengths=np.array([4.0, 2.0]),
        cosine=0.0,
        fixed=("0.bias", "2.bias"),
        slopes=np.zeros(2),
        curvatures=np.array([[2.0, 0.0], [0.0, 6.0]]),
        residuals=np.full(2, np.nan),
        path=path,
        evaluations=11,
        vectorised=True,
    )


def curvature() -> Curvature:
    """A step of 0.25 overshoots along an eigenvalue of 10; the loss curves down somewhere."""
    density = SpectralDensity(
        grid=np.array([-1.0, 0.0, 10.0]),
        density=np.array([0.01, 0.9, 0.02]),
        error=np.array([0.001, 0.05, 0.002]),
        width=0.1,
        nodes=np.array([[-1.0, 10.0]]),
        weights=np.array([[0.25, 0.75]]),
        negative=0.25,
        negative_error=0.05,
        zero=1e-6,
    )
    return Curvature(
        matrix="hessian",
        loss_name="MSELoss",
        parameters=17,
        examples=9,
        precision="float32",
        loss=0.75,
        gradient_norm=0.125,
        eigenvalues=np.array([10.0, 4.0]),
        residuals=np.array([1e-5, 2e-4]),
        checked_residual=np.nan,
        bounds=np.array([1e-10, 1e-8]),
        smallest=np.array([-1.0]),
        smallest_residuals=np.array([3e-4]),
        converged=False,
        tolerance=1e-6,
        trace=15.0,
        trace_error=0.5,
        density=density,
        learning_rate=0.25,
        stability_limit=2.0,
        eigenvectors={},
        products={"eigenvalues": 12, "trace": 30, "density": 20},
        retained=True,
    )


def weight_curve() -> WeightCurve:
    """|w| + 1: one unit of one example switches at 0."""
    return WeightCurve(
        parameter="0.weight",
        index=(1, 0),
        loss_name="MSELoss",
        examples=1,
        exact=True,
        reason="",
        value=1.0,
        loss_here=2.0,
        slope_here=1.0,
        weight=np.array([-2.0, 0.0, 1.0, 2.0]),
        loss=np.array([3.0, 1.0, 2.0, 3.0]),
        slope_left=np.array([np.nan, -1.0, 1.0, 1.0]),
        slope_right=np.array([-1.0, 1.0, 1.0, np.nan]),
        interpolation_error=0.0,
        agreement=1e-16,
        bend_weight=np.array([0.0]),
        bend_example=np.array([0]),
        bend_unit=np.array([1]),
        bend_module=np.array([0]),
        modules=("1",),
        bends_left_out=0,
    )


def linear_regions() -> LinearRegions:
    """max(s, 0) and max(−s, 0), as two classes, on the square [−1, 1]²: two cells, on either side of s = 0."""
    vertices = np.array([[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 1.0]])
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0], [1, 4]], dtype=np.int32)
    return LinearRegions(
        model="Net",
        plane=plane(),
        kinks=(RegionKink("relu", "[b]act[/b]", "threshold", 0, 1, 1, (1,), 2),),
        vertices=vertices,
        cell_start=np.array([0, 4, 8], dtype=np.int32),
        cell_vertex=np.array([0, 1, 4, 5, 1, 2, 3, 4], dtype=np.int32),
        cell_edge=np.array([0, 6, 4, 5, 1, 2, 3, 6], dtype=np.int32),
        edge_vertex=edges,
        edge_cell=np.array([[0, -1], [1, -1], [1, -1], [1, -1], [0, -1], [0, -1], [0, 1]], dtype=np.int32),
        edge_kink=np.array([-1, -1, -1, -1, -1, -1, 0], dtype=np.int32),
        patterns=(RegionPatterns(np.zeros(2, np.int32), np.array([[0], [1]], dtype=np.uint8)),),
        outputs=np.stack([np.maximum(-vertices[:, 0], 0), np.maximum(vertices[:, 0], 0)], 1),
        proofs=RegionProofs(4.0, 4.0, 1, 0, 0.0, 1e-16, 2, 3, 0, 0, 2.0, 0.0),
        classes=("no", "[b]yes[/b]"),
    )


def regions_on_line() -> RegionsOnLine:
    """From s = −1 to s = 1 of the same network: one bend, where the classes tie."""
    return RegionsOnLine(
        model="Net",
        operations=(LineKink("relu", "act", 0, 1, 1),),
        breaks=np.array([0.0, 0.5, 1.0]),
        kinks=np.array([-1, 0, -1]),
        outputs=np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
        length=2.0,
        error=1e-16,
        coincident=0,
        classes=("no", "yes"),
    )
