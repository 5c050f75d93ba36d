"""What a run's network computes: its surfaces, folds, regions, local models and the loss around its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pellucid.errors import SettingsError
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

    return measure_linear_regions(found.model, plane, linearise=request.linearise)


FUNCTION_MEASURES: dict[str, tuple[Measure, bool]] = {
    "curvature": (_curvature, False),
    "folding": (_folding, True),
    "jacobian": (_jacobian, False),
    "landscape": (_landscape, False),
    "local": (_local, False),
    "regions": (_regions, True),
    "surface": (_surface, True),
}
"""By kind: how it is measured, and whether it needs a plane."""
