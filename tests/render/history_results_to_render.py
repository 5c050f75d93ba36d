"""A geometry history made by hand, so that renderings can be read against what stands here."""

from __future__ import annotations

import numpy as np

from pellucid.results.geometry_history import GeometryHistory, GeometrySeries, MeasuredTraining

EPOCHS = np.array([0, 1, 2, 4, 8], dtype=np.int64)


def _series(
    split: str, lens: str, quantity: str, label: str, values: list[float], layer: str = "", runs: int = 1
) -> GeometrySeries:
    known = np.array(values)
    spread = np.full(len(known), np.nan) if runs == 1 else 0.1 * np.abs(known)
    return GeometrySeries(
        split=split,
        lens=lens,
        layer=layer,
        quantity=quantity,
        label=label,
        epochs=EPOCHS,
        values=known,
        low=known - spread,
        high=known + spread,
        at_zero=known[2] * np.linspace(1, 1 + runs / 10, runs),
        final=np.full(runs, known[4]),
    )


def geometry_history(runs: int = 1) -> GeometryHistory:
    """Zero error from epoch 2 on; NC1 falls from 0.5 to 0.125, the accuracy rises from 0.75 to 0.875."""
    parts = [
        ("train", "errors", "error", "share that is wrong", [0.9, 0.25, 0.0, 0.0, 0.0], ""),
        ("test", "errors", "error", "share that is wrong", [0.9, 0.5, 0.25, 0.25, 0.125], ""),
        ("train", "collapse", "nc1", "NC1, within-class variability", [2.0, 1.0, 0.5, 0.25, 0.125], ""),
        ("test", "collapse", "nc1", "NC1, within-class variability", [2.0, 1.5, 1.0, 0.75, 0.5], ""),
        ("train", "layers", "separation", "separation D", [8.0, 8.0, 8.0, 8.0, 8.0], "conv[red]"),
        ("train", "layers", "separation", "separation D", [8.0, 4.0, 2.0, 1.0, 0.5], "fc"),
        ("train", "layers", "decay", "ρ of the separation law", [1.0, 0.5, 0.25, 0.125, 0.0625], ""),
        ("test", "calibration", "accuracy", "accuracy", [0.1, 0.5, 0.75, 0.75, 0.875], ""),
        (
            "",
            "weights",
            "distance",
            "distance of the weights from their start, ‖θ − θ₀‖",
            [0.0, 1.0, 2.0, 3.0, 3.0],
            "",
        ),
    ]
    return GeometryHistory(
        runs=tuple(
            MeasuredTraining(
                run=f"20260101-000000-[b]made[/b]-000{seed}",
                seed=seed,
                last=8,
                first_zero=1,
                zero_error=2,
                at_zero=2,
                best=4,
                best_split="validation",
                flipped=20 * seed,
            )
            for seed in range(runs)
        ),
        held_out="test",
        lenses=("collapse", "layers", "calibration"),
        layers=("conv[red]", "fc"),
        series=tuple(
            _series(split, lens, quantity, label, values, layer, runs)
            for split, lens, quantity, label, values, layer in parts
        ),
    )
