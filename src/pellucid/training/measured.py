"""What a run's network computes, measured by a lens: the run's network, data and loss, and the plane to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DataError, RunNotFoundError, SettingsError
from pellucid.training.assembly import loss_spec
from pellucid.training.losses import build_loss
from pellucid.training.run_examples import RunExamples, load_run_examples
from pellucid.training.trained import load_network, read_card, settings_of

if TYPE_CHECKING:
    from torch import nn

    from pellucid.core.slices import Slice
    from pellucid.results.base import Result
    from pellucid.store.run import Run

__all__ = ["MEASURES", "MeasuredRun", "Request", "checkpoint_names", "measure_run", "read_plane"]

_SNAPSHOT = re.compile(r"epoch-(\d+)\.safetensors")


@dataclass(frozen=True)
class Request:
    """What to measure, and how.

    Attributes:
        kind: One of ``MEASURES``.
        plane: ``pca``, ``features:i,j``, ``examples:a,b,c`` (places in the split, from 0), ``latent:LAYER`` or
            ``latent:LAYER:i,j``; for the landscape, ``path`` is the plane of the run's checkpoints.
        layer: One layer, for what is measured of layers.
        split: Whose examples are taken.
        example: The place in the split of the example to look at, for what is measured of one.
        resolution: Points along each direction; None takes what suits the measure.
        most: At most so many examples, for what is measured of the loss.
        linearise: For the regions of a smooth network: the error allowed in an output when it is linearised.
    """

    kind: str
    plane: str = "pca"
    layer: str | None = None
    split: str = "train"
    example: int = 0
    resolution: int | None = None
    most: int = 2000
    linearise: float | None = None


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """All that a measure may ask of a run.

    Attributes:
        run: The fit.
        examples: Its network and the examples of one split.
        loss: Its training loss, the mean over a batch.
        previous: The same measure of the checkpoint before, for what is aligned across time.
    """

    run: Run
    examples: RunExamples
    loss: nn.Module
    previous: Result | None = None

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode."""
        return self.examples.model

    @property
    def classes(self) -> np.ndarray | None:
        """The class number of every example; None for a regression, or where an example has many targets."""
        targets = self.examples.targets
        return targets.numpy() if self.examples.classes is not None and targets.dim() == 1 else None


def measure_run(run: Run, request: Request, *, checkpoints: bool = False) -> Iterator[tuple[str, Result]]:
    """Measure a run's network, or its network at every checkpoint.

    Args:
        run: A fit.
        request: What to measure.
        checkpoints: Along the run's checkpoints, in order, in the plane that the final network and the data give.

    Yields:
        The name to keep it under, such as ``neuron_surface``, ``neural_collapse_test`` or
        ``neuron_surface_epoch_0004``, and the result.

    Raises:
        SettingsError: there is no such measure, plane, layer or split.
        DataError: the data has changed since, or cannot be sliced.
        RunError: the run is no fit, or has no weights or checkpoints yet.
    """
    if request.kind not in MEASURES:
        raise SettingsError(
            f"there is no measure {request.kind!r}", place="kind", remedy=f"use one of {', '.join(MEASURES)}"
        )
    examples = load_run_examples(run, request.split)
    found = MeasuredRun(run, examples, _loss_of(run, examples))
    measure, sliced = MEASURES[request.kind]
    plane = read_plane(request.plane, examples) if sliced else None
    if not checkpoints:
        result = measure(found, plane, request)
        yield _name_of(result), result
        return
    previous: Result | None = None
    for name in checkpoint_names(run):
        model, _ = load_network(run, f"checkpoints/{name}")
        moment = replace(found, examples=replace(examples, model=model), previous=previous)
        previous = measure(moment, plane, request)
        yield f"{_name_of(previous)}_{name.partition('.')[0].replace('-', '_')}", previous


def _name_of(result: Result) -> str:
    """What a result is kept under: its stem, and the split where it is of one."""
    stem, split = result.schema.partition("/")[0], getattr(result, "split", "")
    return f"{stem}_{split}" if split else stem


def checkpoint_names(run: Run) -> list[str]:
    """The weights that a run kept of its epochs, the earliest first.

    Raises:
        RunNotFoundError: it kept none.
    """
    found = [match for name in run.file_names("checkpoints") if (match := _SNAPSHOT.fullmatch(name))]
    if not found:
        raise RunNotFoundError(
            "the run kept no weights of its epochs", place=run.location, remedy="measure it without checkpoints"
        )
    return [match.string for match in sorted(found, key=lambda match: int(match[1]))]


def read_plane(text: str, examples: RunExamples) -> Slice:
    """The plane that a text such as ``features:3,7`` names, with the examples in it.

    Raises:
        SettingsError: it names none.
        DataError: the examples cannot be sliced so.
    """
    from pellucid.lenses import slicing

    kind, _, rest = text.partition(":")
    classes = examples.targets.numpy() if examples.classes is not None and examples.targets.dim() == 1 else None
    if kind == "latent" and rest:
        layer, _, units = rest.partition(":")
        pair = _numbers(units, 2, text) if units else (None, None)
        return slicing.slice_latent(examples.model, examples.inputs, layer, *pair, y=classes)
    if not examples.inputs.is_floating_point():
        raise DataError(
            "tokens have no values between them, so the input has no plane",
            place="--plane",
            remedy="slice a layer instead, with --plane latent:LAYER",
        )
    inputs = examples.inputs.double().numpy()
    if kind == "pca" and not rest:
        return slicing.slice_principal(inputs, y=classes)
    if kind == "features":
        first, second = _features(rest, examples, text)
        found = slicing.slice_features(inputs, first, second, y=classes)
        return replace(found, labels=_feature_labels(found, (first, second), examples))
    if kind == "examples":
        a, b, c = places = _numbers(rest, 3, text)
        if max(places) >= len(inputs):
            raise SettingsError(
                f"the split has no example {max(places)}", place=text, remedy=f"name 0 to {len(inputs) - 1}"
            )
        own = () if classes is None else tuple(int(classes[place]) for place in places)
        return slicing.slice_examples(inputs[a], inputs[b], inputs[c], X=inputs, y=classes, classes=own)
    raise SettingsError(
        f"{text!r} names no plane",
        place="--plane",
        remedy="write pca, features:i,j, examples:a,b,c, latent:LAYER or latent:LAYER:i,j",
    )


def _numbers(text: str, count: int, whole: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(part.isdecimal() for part in parts):
        raise SettingsError(
            f"{text!r} is not {count} numbers", place=whole, remedy="write them with commas, counted from 0"
        )
    return tuple(int(part) for part in parts)


def _features(text: str, examples: RunExamples, whole: str) -> tuple[int, int]:
    """Two features by number or, of a table, by name."""
    names = examples.feature_names or ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 2 and all(part in names for part in parts):
        return names.index(parts[0]), names.index(parts[1])
    try:
        first, second = _numbers(text, 2, whole)
    except SettingsError as error:
        shown = ", ".join(names[:12])
        raise SettingsError(
            error.message, place=whole, remedy=error.remedy + (f", or name two of {shown}" if shown else "")
        ) from error
    return first, second


def _feature_labels(plane: Slice, pair: tuple[int, int], examples: RunExamples) -> tuple[str, str]:
    names = examples.feature_names
    if names is None or max(pair) >= len(names):
        return plane.labels
    return names[pair[0]], names[pair[1]]


def _loss_of(run: Run, examples: RunExamples) -> nn.Module:
    """The run's training loss."""
    settings, card = settings_of(run), read_card(run)
    counts = None
    if examples.classes is not None:
        known = examples.targets.numpy().ravel()
        counts = np.bincount(known[known >= 0], minlength=len(examples.classes))
    return build_loss(loss_spec(settings, card.task), card.task, outputs=card.outputs, class_counts=counts)


def _some(found: MeasuredRun, most: int) -> tuple[Any, Any]:
    """The examples and targets, evenly thinned to so many."""
    inputs, targets = found.examples.inputs, found.examples.targets
    if len(inputs) <= most:
        return inputs, targets
    places = np.linspace(0, len(inputs) - 1, most).round().astype(np.int64)
    return inputs[places], targets[places]


def _surface(found: MeasuredRun, plane: Any, request: Request) -> Result:
    from pellucid.lenses.neuron_surface import measure_neuron_surface

    return measure_neuron_surface(found.model, plane, request.layer, resolution=request.resolution or 65)


def _folding(found: MeasuredRun, plane: Any, request: Request) -> Result:
    from pellucid.lenses.input_folding import measure_input_folding
    from pellucid.results.input_folding import InputFolding

    reference = found.previous if isinstance(found.previous, InputFolding) else None
    layers = None if request.layer is None else [request.layer]
    lines = request.resolution or 17
    return measure_input_folding(found.model, plane, layers, lines=lines, reference=reference)


def _local(found: MeasuredRun, _plane: Any, _request: Request) -> Result:
    from pellucid.lenses.local_linear_models import measure_local_linear_models

    examples = found.examples
    return measure_local_linear_models(
        found.model,
        examples.inputs,
        examples.targets,
        feature_names=examples.feature_names,
        classes=examples.classes,
        output_names=examples.output_names,
    )


def _jacobian(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.input_jacobian import measure_input_jacobian

    examples = found.examples
    if not 0 <= request.example < len(examples.inputs):
        raise SettingsError(
            f"the split has no example {request.example}",
            place="--example",
            remedy=f"name 0 to {len(examples.inputs) - 1}",
        )
    return measure_input_jacobian(
        found.model,
        examples.inputs[request.example : request.example + 1],
        feature_names=examples.feature_names,
        output_names=examples.classes or examples.output_names,
    )


def _curvature(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.curvature import measure_curvature

    rate = getattr(getattr(settings_of(found.run), "optimizer", None), "learning_rate", None)
    return measure_curvature(found.model, _some(found, request.most), found.loss, learning_rate=rate)


def _landscape(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.loss_landscape import measure_loss_landscape

    path = [load_network(found.run, f"checkpoints/{name}")[0].state_dict() for name in checkpoint_names(found.run)]
    return measure_loss_landscape(
        found.model,
        _some(found, request.most),
        found.loss,
        directions="path" if request.plane == "path" else "random",
        steps=request.resolution or 25,
        path=path if len(path) > 1 else None,
    )


def _labelled(found: MeasuredRun, most: int | None = None) -> tuple[Any, Any]:
    """Inputs and class numbers, for what is measured of classes; at most so many examples where a number is given.

    Raises:
        DataError: there is not one class an example.
    """
    if found.classes is None:
        raise DataError(
            "the run's examples do not have one class each, and this is measured of classes",
            place=found.run.manifest.source,
            remedy="measure a run that classifies",
        )
    return (found.examples.inputs, found.examples.targets) if most is None else _some(found, most)


def _collapse(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """Of classes, the training split's centres deciding; of numbers, the collapse of a regression."""
    from pellucid.lenses.neural_collapse import measure_neural_collapse
    from pellucid.lenses.regression_collapse import measure_regression_collapse

    examples = found.examples
    if examples.classes is None:
        names = examples.output_names or ()
        return measure_regression_collapse(
            found.model, (examples.inputs, examples.targets), target_names=names, split=request.split
        )
    centres = None
    if request.split != "train":
        train = load_run_examples(found.run, "train")
        centres = (train.inputs, train.targets)
    return measure_neural_collapse(
        found.model,
        _labelled(found),
        centres_from=centres,
        class_names=examples.classes,
        split=request.split,
    )


def _layers(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.layer_collapse import measure_layer_collapse

    names = None if request.layer is None else [request.layer]
    data = _labelled(found)
    count = len(found.examples.classes or ())
    return measure_layer_collapse(found.model, data, layers=names, classes=count, split=request.split)


def _classes(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.class_geometry import measure_class_geometry

    data = _labelled(found)
    return measure_class_geometry(found.model, data, class_names=found.examples.classes or (), split=request.split)


def _regions(found: MeasuredRun, plane: Any, request: Request) -> Result:
    from pellucid.lenses.linear_regions import measure_linear_regions

    return measure_linear_regions(found.model, plane, linearise=request.linearise)


def _calibration(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.calibration import measure_calibration

    names = found.examples.classes or ()
    return measure_calibration(found.model, _labelled(found), split=request.split, class_names=names)


def _margins(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.margins import measure_margins

    return measure_margins(found.model, _labelled(found), split=request.split, class_names=found.examples.classes or ())


def _robustness(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.robustness import measure_robustness

    return measure_robustness(found.model, _labelled(found), split=request.split)


def _information(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """Over all epochs whose weights the run kept, where there are several; their numbers are in the names."""
    from pellucid.lenses.information_plane import measure_information_plane

    data = _labelled(found, request.most)
    layers = None if request.layer is None else [request.layer]
    if not any(_SNAPSHOT.fullmatch(name) for name in found.run.file_names("checkpoints")):
        return measure_information_plane(found.model, data, layers=layers, split=request.split)
    names = checkpoint_names(found.run)
    models = {
        int(match[1]): load_network(found.run, f"checkpoints/{name}")[0]
        for name in names
        if (match := _SNAPSHOT.fullmatch(name))
    }
    return measure_information_plane(models, data, layers=layers, split=request.split)


Measure = Callable[[MeasuredRun, Any, Request], "Result"]

MEASURES: dict[str, tuple[Measure, bool]] = {
    "calibration": (_calibration, False),
    "classes": (_classes, False),
    "collapse": (_collapse, False),
    "curvature": (_curvature, False),
    "folding": (_folding, True),
    "information": (_information, False),
    "jacobian": (_jacobian, False),
    "landscape": (_landscape, False),
    "layers": (_layers, False),
    "local": (_local, False),
    "margins": (_margins, False),
    "regions": (_regions, True),
    "robustness": (_robustness, False),
    "surface": (_surface, True),
}
"""What can be measured of a run: how, and whether it needs a plane. A new lens is a function above and a line here."""
