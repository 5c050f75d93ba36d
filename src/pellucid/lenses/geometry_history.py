"""How did collapse, calibration and margins move while this network was trained, and after its errors were gone?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pellucid.errors import DataError
from pellucid.results.geometry_history import GeometryHistory, GeometrySeries, MeasuredTraining

__all__ = ["RecordedRun", "measure_geometry_history"]

_LENSES = ("collapse", "layers", "calibration", "margins", "robustness")
_ORDER = ("errors", *_LENSES, "weights")
_LABELS = {
    "loss": "loss, nats",
    "error": "share that is wrong",
    "accuracy": "accuracy",
    "accuracy_clean": "accuracy on labels left as they are",
    "accuracy_flipped": "changed labels given back: memorised",
    "accuracy_flipped_true": "changed labels seen through",
    "distance": "distance of the weights from their start, ‖θ − θ₀‖",
    "norm": "length of the weights, ‖θ‖",
    "nc1": "NC1, within-class variability",
    "nc1_notebook": "NC1 without /C",
    "trace_ratio": "ratio of scatters, Tr Σ_W / Tr Σ_B",
    "cdnv_largest": "the worst pair's normalised variance",
    "signal_to_noise": "signal to noise inside the centres' span",
    "noise_inside": "share of the noise inside the centres' span",
    "nc3_squared": "NC3, self-duality, squared",
    "nc3_cosine": "cosine of row and centre",
    "cdnv": "class-distance normalised variance",
    "nc3": "NC3, self-duality",
    "unc3": "UNC3, uniform duality",
    "nc3_zhu": "NC3, duality by the simplex (Zhu)",
    "bias_zhu": "bias against the global mean (Zhu)",
    "nc4": "NC4, classifier differs from the nearest centre",
    "nearest_centre_accuracy": "the nearest centre is right",
    "separation": "separation D",
    "effective_rank": "effective rank",
    "decay": "ρ of the separation law",
    "decay_fit": "R² of the separation law",
    "confidence": "mean confidence",
    "ece": "expected calibration error",
    "ece_mass": "expected calibration error, equal mass",
    "mce": "largest calibration error",
    "classwise_ece": "class-wise calibration error",
    "adaptive_ece": "adaptive calibration error",
    "brier": "Brier score",
    "nll": "negative log likelihood, nats",
}
_CONFIGURATIONS = {
    "equinorm": "NC2, equal lengths",
    "equiangular": "NC2, equal angles",
    "maximal_angle": "NC2, maximal angles",
    "nc2_zhu": "NC2, against the simplex (Zhu)",
    "hyperspherical": "GNC2, even spread on the sphere",
    "largest_cosine": "closest pair, its cosine",
    "reference_gap": "closest pair, above the reference",
    "seli": "against the geometry of unequal classes (SELI)",
    "minority_cosine": "closeness of small classes",
}
_MARGINS = {
    "output": "output margin",
    "cosine": "cosine margin",
    "angle": "angular margin, degrees",
    "feature_distance": "distance in feature space",
    "input_distance": "distance in the input, linearised",
}
_FIGURES = {"low": "5 % quantile", "high": "95 % quantile", "negative": "share below 0"}
_DISTURBANCES = {"noise": "accuracy under noise", "fgsm": "accuracy under FGSM"}


@runtime_checkable
class RecordedRun(Protocol):
    """What is read of a run: ``pellucid.open_run`` gives one."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def manifest(self) -> Any:
        """What it is: settings and seed."""
        ...

    @property
    def location(self) -> str:
        """Where it is."""
        ...

    def table(self, name: str) -> Any:
        """A table of it."""
        ...


def measure_geometry_history(run: RecordedRun, *more: RecordedRun) -> GeometryHistory:
    """Read what the lenses of a fit saw along training, and find its terminal phase. Nothing is run, torch not needed.

    Args:
        run: A run that was fitted with ``lenses=("collapse", …)``, finished or not.
        more: Others of the same kind, such as further seeds: means and intervals are taken over all.

    Returns:
        Every quantity over epochs, and where the terminal phase begins: the first epoch from which on the training
        error stays 0, in evaluation mode and with the labels that were trained on.

    Raises:
        DataError: a run recorded no geometry.
    """
    return GeometryHistory.across([_read(one) for one in (run, *more)])


def _read(run: RecordedRun) -> GeometryHistory:
    columns = run.table("geometry").to_pydict()
    if not columns["epoch"]:
        raise DataError(
            "the run recorded no geometry along training",
            place=run.location,
            remedy="fit with --lens collapse,calibration,margins",
        )
    points: dict[tuple[str, str, str, str], dict[int, float]] = {}
    names = zip(columns["split"], columns["lens"], columns["layer"], columns["quantity"], strict=True)
    for key, epoch, value in zip(names, columns["epoch"], columns["value"], strict=True):
        points.setdefault(key, {})[epoch] = value
    training = _describe(run, points)
    ordered = sorted(points, key=lambda key: (_place(key[1], _ORDER), _place(key[0], ("train", "test", "validation"))))
    lenses = {lens for _, lens, _, _ in points}
    splits = {split for split, *_ in points}
    return GeometryHistory(
        runs=(training,),
        held_out=next((one for one in ("test", "validation") if one in splits), ""),
        lenses=tuple(lens for lens in _LENSES if lens in lenses),
        layers=tuple(dict.fromkeys(layer for _, _, layer, _ in points if layer)),
        series=tuple(_series(key, points[key], training) for key in ordered),
    )


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _series(key: tuple[str, str, str, str], points: dict[int, float], training: MeasuredTraining) -> GeometrySeries:
    split, lens, layer, quantity = key
    epochs = np.array(sorted(points), dtype=np.int64)
    unknown = np.full(len(epochs), np.nan)
    return GeometrySeries(
        split=split,
        lens=lens,
        layer=layer,
        quantity=quantity,
        label=_label(quantity),
        epochs=epochs,
        values=np.array([points[epoch] for epoch in epochs.tolist()]),
        low=unknown,
        high=unknown.copy(),
        at_zero=np.array([points.get(training.at_zero, np.nan)]),
        final=np.array([points.get(training.last, np.nan)]),
    )


def _describe(run: RecordedRun, points: dict[tuple[str, str, str, str], dict[int, float]]) -> MeasuredTraining:
    errors = points.get(("train", "errors", "", "error"), {})
    first, stays = _zeros(errors)
    looked = sorted({epoch for key, one in points.items() if key[1] in _LENSES for epoch in one})
    if not looked:
        looked = sorted(errors)
    best, split = _lowest_loss(run, points)
    flipped = points.get(("train", "errors", "", "accuracy_flipped"))
    return MeasuredTraining(
        run=run.id,
        seed=int(run.manifest.settings.get("seed", 0)),
        last=looked[-1] if looked else -1,
        first_zero=first,
        zero_error=stays,
        at_zero=next((epoch for epoch in looked if epoch >= stays), -1) if stays >= 0 else -1,
        best=best,
        best_split=split,
        flipped=_count_flipped(run) if flipped else 0,
    )


def _zeros(errors: dict[int, float]) -> tuple[int, int]:
    """The first epoch without an error, and the first from which on there is none; −1 for none."""
    first = stays = -1
    for epoch in sorted(errors):
        if errors[epoch] == 0:
            first = epoch if first < 0 else first
            stays = epoch if stays < 0 else stays
        else:
            stays = -1
    return first, stays


def _lowest_loss(run: RecordedRun, points: dict[tuple[str, str, str, str], dict[int, float]]) -> tuple[int, str]:
    """Where the held-out loss was lowest: of the validation split, which decides early stopping, else of the test."""
    rows = run.table("metrics").to_pydict()
    names = zip(rows["split"], rows["metric"], strict=True)
    losses = {
        epoch + 1: value  # metrics count epochs from 0, here they are counted when done
        for (split, metric), epoch, value in zip(names, rows["epoch"], rows["value"], strict=True)
        if split == "validation" and metric == "loss" and value is not None
    }
    split = "validation"
    if not losses:
        split = "test"
        losses = points.get(("test", "errors", "", "loss"), {})
    return (min(losses, key=lambda epoch: losses[epoch]), split) if losses else (-1, "")


def _count_flipped(run: RecordedRun) -> int:
    """From the events: the run says how many labels were changed."""
    rows = run.table("events").to_pydict()
    for kind, message in zip(rows["kind"], rows["message"], strict=True):
        if kind == "label_noise":
            return int(message.partition(" ")[0].replace(",", ""))
    return 0


def _label(quantity: str) -> str:
    """What a quantity is called."""
    if quantity in _LABELS:
        return _LABELS[quantity]
    for ending, what in (("_centres", "of the centres"), ("_classifier", "of the classifier's rows")):
        stem, _, note = quantity.partition(ending)
        if stem in _CONFIGURATIONS and note != quantity:
            return f"{_CONFIGURATIONS[stem]} {what}" + (", unbiased" if note else "")
    for name, label in _MARGINS.items():
        figure = quantity.removeprefix(f"{name}_")
        if figure != quantity:
            return f"{label}, {_FIGURES.get(figure, figure)}"
    for name, label in _DISTURBANCES.items():
        size = quantity.removeprefix(f"{name}_")
        if size != quantity:
            return f"{label} of {size} of the inputs' spread"
    return quantity.replace("_", " ")
