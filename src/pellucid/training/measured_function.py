"""What a run's network computes: its surfaces, folds, regions, local models and the loss around its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DataError, SettingsError
from pellucid.training.measured_run import Measure, MeasuredRun, Request, checkpoint_names, some_examples
from pellucid.training.trained import load_network, settings_of

if TYPE_CHECKING:
    from pellucid.results.base import Result

__all__ = ["FUNCTION_MEASURES"]


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

    examples, place = found.examples, _example(found, request.example, "--example")
    return measure_input_jacobian(
        found.model,
        examples.inputs[place : place + 1],
        feature_names=examples.feature_names,
        output_names=examples.classes or examples.output_names,
    )


def _line(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """From one example to another; where nobody says to which, to the first of another class."""
    from pellucid.lenses.regions_on_line import measure_regions_on_line

    inputs, start = found.examples.inputs, _example(found, request.example, "--example")
    if not inputs.is_floating_point():
        raise DataError(
            "tokens have no values between them, so there is no line from one text to another",
            place="line",
            remedy="measure a run of tables, images or series",
        )
    end = _other(found, start) if request.to is None else _example(found, request.to, "--to")
    if bool((inputs[start] == inputs[end]).all()):
        raise SettingsError(
            f"examples {start} and {end} are the same point", place="--to", remedy="name two examples that differ"
        )
    return measure_regions_on_line(found.model, inputs[start], inputs[end], classes=found.examples.classes or ())


def _other(found: MeasuredRun, start: int) -> int:
    """The first example of another class, or without classes the first one that differs."""
    inputs, classes = found.examples.inputs, found.classes
    differ = (inputs != inputs[start]).flatten(1).any(1).numpy()
    if classes is not None and (differ & (classes != classes[start])).any():
        differ = differ & (classes != classes[start])
    return int(differ.argmax())


def _example(found: MeasuredRun, place: int, option: str) -> int:
    """The same place, if the split has an example there."""
    if not 0 <= place < len(found.examples.inputs):
        raise SettingsError(
            f"the {found.split} split has no example {place}",
            place=option,
            remedy=f"name 0 to {len(found.examples.inputs) - 1}",
        )
    return place


def _weight(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    """Of the layer that is named, else of the last one that has a matrix; of its largest entry, if none is named."""
    from pellucid.lenses.weight_curve import measure_weight_curve

    known = dict(found.model.named_parameters())
    name = request.layer or next((one for one, given in reversed(known.items()) if given.dim() > 1), "")
    name = name if name in known else f"{name}.weight"
    if name not in known:
        shown = ", ".join(list(known)[:12]) or "none: it has no weights"
        raise SettingsError(
            f"the network has no weights of {request.layer!r}", place="--layer", remedy=f"name one of {shown}"
        )
    index = request.index
    if index is None:
        largest = int(known[name].detach().abs().argmax())
        index = tuple(int(place) for place in np.unravel_index(largest, tuple(known[name].shape)))
    return measure_weight_curve(found.model, found.loss, name, index, some_examples(found, request.most))


def _curvature(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.curvature import measure_curvature

    rate = getattr(getattr(settings_of(found.run), "optimizer", None), "learning_rate", None)
    return measure_curvature(found.model, some_examples(found, request.most), found.loss, learning_rate=rate)


def _landscape(found: MeasuredRun, _plane: Any, request: Request) -> Result:
    from pellucid.lenses.loss_landscape import measure_loss_landscape

    path = [load_network(found.run, f"checkpoints/{name}")[0].state_dict() for name in checkpoint_names(found.run)]
    return measure_loss_landscape(
        found.model,
        some_examples(found, request.most),
        found.loss,
        directions="path" if request.plane == "path" else "random",
        steps=request.resolution or 25,
        path=path if len(path) > 1 else None,
    )


def _regions(found: MeasuredRun, plane: Any, request: Request) -> Result:
    from pellucid.lenses.linear_regions import measure_linear_regions

    names = found.examples.classes or ()
    return measure_linear_regions(found.model, plane, linearise=request.linearise, classes=names)


FUNCTION_MEASURES: dict[str, tuple[Measure, bool]] = {
    "curvature": (_curvature, False),
    "folding": (_folding, True),
    "jacobian": (_jacobian, False),
    "landscape": (_landscape, False),
    "line": (_line, False),
    "local": (_local, False),
    "regions": (_regions, True),
    "surface": (_surface, True),
    "weight": (_weight, False),
}
"""By kind: how it is measured, and whether it needs a plane."""
