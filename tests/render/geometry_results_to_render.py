"""A class geometry and a collapse over layers made by hand, so that renderings can be read against what stands here."""

from __future__ import annotations

import math

import numpy as np

from pellucid.results.class_geometry import ClassFeature, ClassGeometry, ClassTexture, ReadableRotation
from pellucid.results.layer_collapse import CollapseLayer, LayerCollapse


def layer_collapse() -> LayerCollapse:
    parts = [
        ("0", (1, 4, 4), 16, "flattened", 8.0, 0.5, 9.5),
        ("conv[red]", (8, 2, 2), 8, "mean over 2 × 2", 2.0, 0.99, 3.5),
    ]
    parts.append(("fc", (8,), 8, "as it is", 0.5, 1.0, 2.25))
    layers = tuple(
        CollapseLayer(
            name=name,
            shape=shape,
            features=features,
            reduction=reduction,
            separation=separation,
            quantities={"nc1": separation / 3, "cdnv": separation / 8, "nearest_centre_accuracy": right},
            effective_rank=rank,
            participation=rank / 2,
            rank=features,
            spectrum=np.array([2.0, 1.0]),
            spectrum_examples=30,
        )
        for name, shape, features, reduction, separation, right, rank in parts
    )
    return LayerCollapse(
        model="Net",
        split="train",
        examples=30,
        classes=3,
        accuracy=1.0,
        layers=layers,
        decay=0.25,
        decay_start=8.0,
        decay_fit=1.0,
        tunnel=1,
        tunnel_share=0.98,
        cka=np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.75], [0.25, 0.75, 1.0]]),
        cka_error=np.full((3, 3), math.nan),
        cka_batch=256,
    )


def _rotation() -> ReadableRotation:
    loadings = np.array([[3.0, 0.0], [-2.0, 0.5], [0.0, -1.5]])
    return ReadableRotation(
        origin="mean",
        joint=False,
        loadings=loadings,
        classifier=np.empty((0, 0)),
        basis=np.array([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0]]),
        features=(
            ClassFeature("f1", 13 / 15.5, (0, 1), (1, 0), (0.8, 0.6)),
            ClassFeature("f2", 2.5 / 15.5, (2,), (2,), (-1.0,)),
        ),
        carried=1.0,
        classifier_carried=math.nan,
        density=0.5,
        density_varimax=0.55,
        null_density=np.array([0.7, 0.8]),
        p_value=0.01,
        agreeing=0.75,
        starts=49,
        neuron_density=0.78,
        neuron_null=0.8,
        neuron_p_value=0.4,
        used_share=0.8,
    )


def class_geometry() -> ClassGeometry:
    axes = np.array([[2.0, 0.0, 0.0], [-1.0, 3**0.5, 0.0], [-1.0, -(3**0.5), 0.0]]) / 6**0.5
    places = np.array([[0.6, -0.3, -0.3], [-0.3, 0.5, -0.2], [-0.3, -0.2, 0.5]])
    cosines = np.array([[1.0, -0.4, -0.6], [-0.4, 1.0, -0.25], [-0.6, -0.25, 1.0]])
    textures = tuple(
        ClassTexture(name, 10, 10, np.array([2.0, 1.0]), 3.5, 0.6, 0.7, p_value, min(1.0, 3 * p_value), 0.4)
        for name, p_value in (("cat", 0.001), ("dog", 0.4), ("[b]car[/b]", 0.9))
    )
    return ClassGeometry(
        layer="fc",
        split="train",
        examples=30,
        features=3,
        class_names=("cat", "dog", "[b]car[/b]"),
        empty_classes=(),
        counts=np.array([10, 10, 10]),
        gap=0.125,
        exact_simplex=True,
        places=places,
        axes=axes,
        ideal=(np.eye(3) - 1 / 3) @ axes,
        centres=places @ axes,
        classifier=places @ axes,
        points=(places @ axes).astype(np.float32),
        point_classes=np.array([0, 1, 2], dtype=np.int32),
        point_places=places.astype(np.float32),
        cosines=cosines,
        tree=np.array([[1.0, 2.0, 1.25, 2.0], [0.0, 3.0, 1.5, 3.0]]),
        order=np.array([0, 1, 2]),
        groups=("animal", "animal", "thing"),
        group_gap=0.025,
        group_p_value=0.33,
        textures=textures,
        rotation=_rotation(),
    )
