"""Pellucid opens neural networks: how they compute, what they learned, and how training moved.

The public names load on first use, so that ``import pellucid`` costs milliseconds and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pellucid import widgets
    from pellucid.lenses.calibration import measure_calibration
    from pellucid.lenses.class_geometry import measure_class_geometry
    from pellucid.lenses.curvature import measure_curvature
    from pellucid.lenses.geometry_history import measure_geometry_history
    from pellucid.lenses.information_plane import measure_information_plane
    from pellucid.lenses.input_folding import measure_input_folding
    from pellucid.lenses.input_jacobian import measure_input_jacobian
    from pellucid.lenses.layer_collapse import measure_layer_collapse
    from pellucid.lenses.layer_map import measure_layer_map
    from pellucid.lenses.linear_regions import measure_linear_regions
    from pellucid.lenses.local_linear_models import measure_local_linear_models
    from pellucid.lenses.loss_landscape import measure_loss_landscape
    from pellucid.lenses.margins import measure_margins
    from pellucid.lenses.neural_collapse import measure_neural_collapse
    from pellucid.lenses.neuron_surface import measure_neuron_surface
    from pellucid.lenses.regions_on_line import measure_regions_on_line
    from pellucid.lenses.regression_collapse import measure_regression_collapse
    from pellucid.lenses.robustness import measure_robustness
    from pellucid.lenses.slicing import (
        slice_directions,
        slice_examples,
        slice_features,
        slice_latent,
        slice_principal,
    )
    from pellucid.lenses.trace import trace
    from pellucid.lenses.weight_curve import measure_weight_curve
    from pellucid.store.run import Run, open_run
    from pellucid.training.fit import fit
    from pellucid.training.predict import predict
    from pellucid.watch.recorder import watch

_HOMES = {
    "Run": "pellucid.store.run",
    "fit": "pellucid.training.fit",
    "measure_calibration": "pellucid.lenses.calibration",
    "measure_class_geometry": "pellucid.lenses.class_geometry",
    "measure_curvature": "pellucid.lenses.curvature",
    "measure_geometry_history": "pellucid.lenses.geometry_history",
    "measure_information_plane": "pellucid.lenses.information_plane",
    "measure_input_folding": "pellucid.lenses.input_folding",
    "measure_input_jacobian": "pellucid.lenses.input_jacobian",
    "measure_layer_collapse": "pellucid.lenses.layer_collapse",
    "measure_layer_map": "pellucid.lenses.layer_map",
    "measure_linear_regions": "pellucid.lenses.linear_regions",
    "measure_local_linear_models": "pellucid.lenses.local_linear_models",
    "measure_loss_landscape": "pellucid.lenses.loss_landscape",
    "measure_margins": "pellucid.lenses.margins",
    "measure_neural_collapse": "pellucid.lenses.neural_collapse",
    "measure_neuron_surface": "pellucid.lenses.neuron_surface",
    "measure_regions_on_line": "pellucid.lenses.regions_on_line",
    "measure_regression_collapse": "pellucid.lenses.regression_collapse",
    "measure_robustness": "pellucid.lenses.robustness",
    "measure_weight_curve": "pellucid.lenses.weight_curve",
    "open_run": "pellucid.store.run",
    "predict": "pellucid.training.predict",
    "slice_directions": "pellucid.lenses.slicing",
    "slice_examples": "pellucid.lenses.slicing",
    "slice_features": "pellucid.lenses.slicing",
    "slice_latent": "pellucid.lenses.slicing",
    "slice_principal": "pellucid.lenses.slicing",
    "trace": "pellucid.lenses.trace",
}

__all__ = [
    "Run",
    "__version__",
    "fit",
    "measure_calibration",
    "measure_class_geometry",
    "measure_curvature",
    "measure_geometry_history",
    "measure_information_plane",
    "measure_input_folding",
    "measure_input_jacobian",
    "measure_layer_collapse",
    "measure_layer_map",
    "measure_linear_regions",
    "measure_local_linear_models",
    "measure_loss_landscape",
    "measure_margins",
    "measure_neural_collapse",
    "measure_neuron_surface",
    "measure_regions_on_line",
    "measure_regression_collapse",
    "measure_robustness",
    "measure_weight_curve",
    "open_run",
    "predict",
    "slice_directions",
    "slice_examples",
    "slice_features",
    "slice_latent",
    "slice_principal",
    "trace",
    "watch",
    "widgets",
]


def __getattr__(name: str) -> Any:
    if name in ("watch", "widgets"):
        return import_module(f"pellucid.{name}")  # rooms; the first can be called: see its docstring
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
