"""Local linear models and a Jacobian made by hand, so that renderings can be read against what stands here."""

from __future__ import annotations

import numpy as np

from pellucid.results.input_jacobian import InputJacobian, JacobianEigenbasis
from pellucid.results.local_linear_models import KinkLayer, LocalLinearModels
from pellucid.results.local_linear_simplification import Fidelity, PointSet, SimplificationSummary

__all__ = ["input_jacobian", "local_linear_models"]


def local_linear_models() -> LocalLinearModels:
    """age − 2 for the young, 2·age for the old, of five people; the second feature, [b]size[/b], counts for nothing."""
    points = np.array([[0.0, 1.0], [0.5, 1.0], [1.0, 3.0], [2.0, 0.0], [3.0, 0.0]])
    region = np.array([0, 0, 0, 1, 1], dtype=np.int32)
    coefficients = np.array([[[1.0, 0.0]], [[2.0, 0.0]]])
    intercepts = np.array([[-2.0], [0.0]])
    output = np.array([[-2.0], [-1.5], [-1.0], [4.0], [6.0]])
    fidelity = (
        Fidelity("data", 5, 0.8, 0.75, 1.5, 1.0, 1.0),
        Fidelity("unvisited cells, between examples", 3, 2 / 3, -0.5, 12.0, np.nan, np.nan),
    )
    return LocalLinearModels(
        model="Net",
        task="binary",
        features=("age", "[b]size[/b]"),
        outputs=("log-odds of yes",),
        classes=("no", "yes"),
        shape=(2,),
        layers=(KinkLayer("act1", "relu", 8, 2, 1),),
        data=PointSet("data", points, np.array([0, 0, 0, 1, 1]), output, region),
        held_out=PointSet("held out", points[:2], np.array([0, 1]), output[:2], np.array([0, -1], dtype=np.int32)),
        unvisited=(
            PointSet(
                "unvisited cells, between examples",
                points[:3] + 10,
                np.empty(0),
                output[:3] + 10,
                np.full(3, -1, dtype=np.int32),
            ),
        ),
        patterns=np.array([[1], [2]], dtype=np.uint8),
        coefficients=coefficients,
        intercepts=intercepts,
        support=np.array([3, 2]),
        representative=np.array([1, 4]),
        metric_names=("loss", "accuracy", "auc"),
        metrics=np.array([[0.21, 1.0, np.nan], [0.01, 1.0, np.nan]]),
        overall=np.array([0.13, 1.0, 1.0]),
        class_balance=np.array([[1.0, 0.0], [0.0, 1.0]]),
        error=2.2e-16,
        inside_error=4.4e-16,
        inside_distance=0.25,
        output_scale=6.0,
        settings={"seed": 0.0},
        simplified=(SimplificationSummary("tree", "network", 2, ("age ≤ 1.5", "age > 1.5"), fidelity),),
    )


def input_jacobian() -> InputJacobian:
    """The map (x, y) ↦ (2x, y + x/2) + (1, 0) at (1, 2)."""
    matrix = np.array([[2.0, 0.0], [0.5, 1.0]])
    left, values, right = np.linalg.svd(matrix)
    own, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return InputJacobian(
        model="Net",
        input_shape=(2,),
        output_shape=(2,),
        input=np.array([1.0, 2.0]),
        output=np.array([3.0, 2.5]),
        linear_part=np.array([2.0, 2.5]),
        bias_part=np.array([1.0, 0.0]),
        bias_share=0.238,
        matrix=matrix,
        singular_values=values,
        left=left.T,
        right=right,
        complete=True,
        residual=1e-16,
        frobenius_norm=float(np.sqrt(5.25)),
        frobenius_error=0.0,
        entropy_rank=1.8,
        stable_rank=1.2,
        rank=2,
        precision="float64",
        products=2,
        eigenbasis=JacobianEigenbasis(
            values=own[::-1].copy(),
            vectors=vectors.T[::-1].copy(),
            input_parts=np.array([1.0, 2.0]),
            output_parts=np.array([3.0, 2.0]),
            residual=1e-16,
            complete=True,
            asymmetry=0.157,
            real=np.array([2.0, 1.0]),
            imaginary=np.zeros(2),
            dimensions=3.0,
            dimensions_error=0.0,
        ),
        output_names=("u", "v"),
        feature_names=("x", "y"),
    )
