"""Where a run's training ended: collapse, the classes' geometry, calibration, margins, robustness, information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pellucid.errors import SettingsError
from pellucid.training.measured_run import Measure, MeasuredRun, Request, kept_epochs, labelled_examples, splits_of
from pellucid.training.run_examples import load_run_examples
from pellucid.training.trained import load_network

if TYPE_CHECKING:
    from pellucid.results.base import Result

__all__ = ["GEOMETRY_MEASURES"]


def _collapse(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    """Of classes, the training split's centres deciding; of numbers, the collapse of a regression."""
    from pellucid.lenses.neural_collapse import measure_neural_collapse
    from pellucid.lenses.regression_collapse import measure_regression_collapse

    examples = found.examples
    if examples.classes is None:
        names = examples.output_names or ()
        return measure_regression_collapse(
            found.model, (examples.inputs, examples.targets), target_names=names, split=found.split
        )
    centres = None
    if found.split != "train":
        train = load_run_examples(found.run, "train")
        centres = (train.inputs, train.targets)
    return measure_neural_collapse(
        found.model,
        labelled_examples(found),
        centres_from=centres,
        class_names=examples.classes,
        split=found.split,
    )


def _history(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    """What the lenses of the fit saw along training."""
    from pellucid.lenses.geometry_history import measure_geometry_history

    return measure_geometry_history(found.run)


def _layers(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.layer_collapse import measure_layer_collapse

    names = None if request.layer is None else [request.layer]
    data = labelled_examples(found)
    count = len(found.examples.classes or ())
    return measure_layer_collapse(found.model, data, layers=names, classes=count, split=found.split)


def _classes(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    """A checkpoint's classes stand around the picture as the last network's do, so that a replay moves smoothly."""
    from pellucid.lenses.class_geometry import measure_class_geometry

    data = labelled_examples(found)
    order = None
    if found.last is not None:
        order = measure_class_geometry(found.last, data, points=0, rotate=False).order.tolist()
    return measure_class_geometry(
        found.model, data, class_names=found.examples.classes or (), split=found.split, order=order
    )


def _calibration(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """As the network gives its probabilities or, where a scaling is asked for, before and after it."""
    from pellucid.lenses.calibration import measure_calibration

    names = found.examples.classes or ()
    result = measure_calibration(found.model, labelled_examples(found), split=found.split, class_names=names)
    if request.scale is None:
        return result
    scale = {"temperature": result.temperature, "vector": result.vector_scaling, "isotonic": result.isotonic}
    if request.scale not in scale:
        raise SettingsError(
            f"there is no scaling {request.scale!r}", place="--scale", remedy=f"use one of {', '.join(scale)}"
        )
    if found.split == "validation" or "validation" not in splits_of(found.run):
        return scale[request.scale]()  # by folds of the split itself, which the result says
    held_out = load_run_examples(found.run, "validation")
    fit_on = measure_calibration(found.model, (held_out.inputs, held_out.targets), split="validation", resamples=0)
    return scale[request.scale](fit_on)


def _margins(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    from pellucid.lenses.margins import measure_margins

    return measure_margins(
        found.model, labelled_examples(found), split=found.split, class_names=found.examples.classes or ()
    )


def _robustness(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    from pellucid.lenses.robustness import measure_robustness

    return measure_robustness(found.model, labelled_examples(found), split=found.split)


def _information(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """Over all epochs whose weights the run kept, where there are several; their numbers are in the names."""
    from pellucid.lenses.information_plane import measure_information_plane

    data = labelled_examples(found, request.most)
    layers = None if request.layer is None else [request.layer]
    epochs = kept_epochs(found.run)
    if not epochs:
        return measure_information_plane(found.model, data, layers=layers, split=found.split)
    models = {epoch: load_network(found.run, f"checkpoints/{name}")[0] for epoch, name in epochs.items()}
    return measure_information_plane(models, data, layers=layers, split=found.split)


GEOMETRY_MEASURES: dict[str, tuple[Measure, bool]] = {
    "calibration": (_calibration, False),
    "classes": (_classes, False),
    "collapse": (_collapse, False),
    "history": (_history, False),
    "information": (_information, False),
    "layers": (_layers, False),
    "margins": (_margins, False),
    "robustness": (_robustness, False),
}
"""By kind: how it is measured, and whether it needs a plane."""
