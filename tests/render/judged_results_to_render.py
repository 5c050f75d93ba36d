"""Small results that judge a classifier, so that renderings can be read against what stands here."""

from __future__ import annotations

import math

import numpy as np

from pellucid.results.calibration import Calibration, judge_calibration
from pellucid.results.information_plane import InformationPlane, LayerInformation
from pellucid.results.margins import Margins, MarginSummary
from pellucid.results.robustness import Robustness, RobustnessCurve


def calibration() -> Calibration:
    """Confidences 0.9 (right in 2 of 4) and 0.6 (right in 1 of 2): ECE = (4 × 0.4 + 2 × 0.1) ÷ 6 = 0.3."""
    p = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    labels = np.array([0, 0, 1, 1, 1, 0])
    return judge_calibration(
        np.log(p), labels, probabilities=p, bins=5, resamples=200, split="test", class_names=("no", "yes")
    )


def scaled_calibration() -> Calibration:
    """After a temperature fitted on the examples themselves."""
    return calibration().temperature(fit_on=calibration())


def margins() -> Margins:
    return Margins(
        split="test",
        layer="fc",
        examples=4,
        classes=2,
        class_names=("no", "yes"),
        accuracy=0.75,
        competitors=1,
        labels=np.array([0, 0, 1, 1], dtype=np.int32),
        predictions=np.array([0, 0, 1, 0], dtype=np.int32),
        output=np.array([1.0, 2.0, 3.0, -0.5], dtype=np.float32),
        cosine=np.empty(0, dtype=np.float32),
        angle=np.empty(0, dtype=np.float32),
        feature_distance=np.empty(0, dtype=np.float32),
        input_distance=np.array([0.5, 1.0, math.inf, -0.25], dtype=np.float32),
        slice_distance=np.empty(0, dtype=np.float32),
        summaries=(
            MarginSummary("output", "output margin", "exact", "logits", 4, 1.375, -0.5, -0.275, 1.5, 2.85, 0.25),
            MarginSummary(
                "input_distance",
                "distance in the input",
                "linearised",
                "input's unit",
                3,
                0.41667,
                -0.25,
                -0.175,
                0.5,
                0.95,
                1 / 3,
            ),
        ),
        notes=("no cosine margin and no distance in feature space: [red]the last layer[/red] is not linear",),
    )


def robustness() -> Robustness:
    def curve(name: str, label: str, norm: str, correct: list[int], settings: str) -> RobustnessCurve:
        counts = np.array(correct)
        return RobustnessCurve(
            name=name,
            label=label,
            norm=norm,
            sizes=np.array([0.1, 0.5]),
            correct=counts,
            accuracy=counts / 10,
            low=np.maximum(counts / 10 - 0.3, 0),
            high=np.minimum(counts / 10 + 0.3, 1),
            settings=settings,
        )

    return Robustness(
        split="test",
        examples=10,
        classes=3,
        correct=9,
        accuracy=0.9,
        low=0.555,
        high=0.9975,
        bounds=(0.0, 1.0),
        curves=(
            curve("noise", "Gaussian noise", "standard deviation", [9, 7], "one draw an example and size"),
            curve("pgd_l2", "PGD in L2", "L2", [8, 2], "20 steps of 2.5 ε ÷ 20, starts: 1"),
        ),
        distance=np.array([0.0, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.6, 0.7, math.inf], dtype=np.float32),
        median_distance=0.4,
        slice_distance=np.array([math.nan, 0.1, 0.2, *[math.nan] * 7], dtype=np.float32),
        distance_ratio=1.75,
        seed=0,
    )


def information_plane() -> InformationPlane:
    def layer(name: str, units: int, x: float, y: float) -> LayerInformation:
        early, late = np.array([x, x - 1]), np.array([y / 2, y])
        return LayerInformation(
            layer=name,
            units=units,
            bin_low=-1.0,
            bin_high=1.0,
            bins=30,
            binned_x=early,
            binned_y=late,
            kernel_x_low=early - 0.5,
            kernel_x_high=early,
            kernel_y=late,
            kernel_y_low=late - 0.25,
            kernel_y_high=np.minimum(late + 0.25, 1.0),
        )

    return InformationPlane(
        split="train",
        examples=1024,
        classes=2,
        epochs=(0, 300),
        input_entropy=10.0,
        label_entropy=1.0,
        noise=0.001,
        layers=(layer("tanh1", 10, 10.0, 0.9), layer("tanh2", 5, 8.0, 0.875)),
    )
