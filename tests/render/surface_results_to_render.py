"""A surface and a folding made by hand, so that renderings can be read against what stands here."""

from __future__ import annotations

import math

import numpy as np

from pellucid.results.input_folding import FoldingStage, InputFolding
from pellucid.results.neuron_surface import NeuronSurface, SurfaceLayer
from pellucid.results.slice_plane import SlicePlane


def plane() -> SlicePlane:
    return SlicePlane(
        origin=np.zeros(2),
        u=np.array([1.0, 0.0]),
        v=np.array([0.0, 1.0]),
        u_range=(-1.0, 1.0),
        v_range=(-1.0, 1.0),
        shape=(2,),
        labels=("age", "[b]fare[/b]"),
        layer="",
        points=np.array([[0.5, 0.5], [-0.5, 0.0]]),
        point_classes=np.array([1, -1]),
        distances=np.array([0.0, 2.0]),
    )


def neuron_surface() -> NeuronSurface:
    s = np.array([-1.0, 0.0, 1.0])
    before = np.broadcast_to(s, (3, 3))
    layer = SurfaceLayer(
        name="fc1",
        operation="Linear",
        activation="relu",
        normalised=False,
        unit_shape=(1,),
        positions="",
        units=np.array([0]),
        values=np.maximum(before, 0)[None].astype(np.float32),
        before=np.empty((0, 0, 0), dtype=np.float32),
        low=np.array([0.0]),
        high=np.array([1.0]),
        source="input",
        weight=np.array([[1.0, 0.0]]),
        bias=np.array([0.0]),
        own_bias=np.array([0.0]),
        precision_error=1.2e-7,
        interpolation_error=0.25,
    )
    return NeuronSurface(
        model="Net",
        plane=plane(),
        s=s,
        t=s,
        layers=(layer,),
        tolerance=0.0,
        computed=np.empty((0, 0), dtype=bool),
        evaluations=9,
        samples=64,
        nonfinite=0,
    )


def input_folding() -> InputFolding:
    line = np.stack([np.linspace(-1, 1, 9), np.zeros(9)], axis=1)
    lines = np.stack([line, line[:, ::-1]])
    parts = [
        ("input", "", "", 2, True, 1.0, 1.0, 0.0, math.nan),
        ("fc1", "Linear", "relu", 8, False, 0.75, 0.5, 0.25, 0.125),
    ]
    stages = tuple(
        FoldingStage(
            name=name,
            operation=operation,
            activation=activation,
            units=units,
            direct=direct,
            explained=explained,
            lines=lines.astype(np.float32) * stretch,
            points=np.array([[0.5, 0.5], [-0.5, 0.0]], dtype=np.float32),
            stretch=stretch,
            collapsed=collapsed,
            moved=moved,
        )
        for name, operation, activation, units, direct, explained, stretch, collapsed, moved in parts
    )
    return InputFolding(
        model="Net",
        plane=plane(),
        lines=lines,
        stages=stages,
        aligned_to="layers",
        carried="slice",
        point_classes=np.array([1, -1]),
        nonfinite=0,
    )
