"""What a run's network computes and where its training ended, measured by a lens that is named by a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import SettingsError
from pellucid.lenses.geometry_history import measure_geometry_history
from pellucid.training.assembly import loss_spec
from pellucid.training.losses import build_loss
from pellucid.training.measured_function import FUNCTION_MEASURES
from pellucid.training.measured_geometry import GEOMETRY_MEASURES
from pellucid.training.measured_plane import read_plane
from pellucid.training.measured_run import HELD_OUT, Measure, MeasuredRun, Request, checkpoint_names, splits_of
from pellucid.training.run_examples import RunExamples, load_run_examples
from pellucid.training.trained import load_network, read_card, settings_of

if TYPE_CHECKING:
    from torch import nn

    from pellucid.results.base import Result
    from pellucid.store.run import Run

__all__ = ["MEASURES", "Request", "measure_run"]

MEASURES: dict[str, tuple[Measure, bool]] = {**FUNCTION_MEASURES, **GEOMETRY_MEASURES}
"""What can be measured of a run: how, and whether it needs a plane. A new lens is a function in one of the two modules
``measured_function`` and ``measured_geometry``, and a line in its table."""


def measure_run(run: Run, request: Request, *, checkpoints: bool = False) -> Iterator[tuple[str, Result]]:
    """Measure a run's network, or its network at every checkpoint.

    Args:
        run: A fit.
        request: What to measure.
        checkpoints: Along the run's checkpoints, in order, in the plane that the final network and the data give.

    Yields:
        The name to keep it under, such as ``neuron_surface``, ``neural_collapse_test``,
        ``calibration_test_temperature`` or ``neuron_surface_epoch_0004``, and the result.

    Raises:
        SettingsError: there is no such measure, plane, layer or split.
        DataError: the data has changed since, or cannot be sliced.
        RunError: the run is no fit, or has no weights or checkpoints yet.
    """
    if request.kind not in MEASURES:
        raise SettingsError(
            f"there is no measure {request.kind!r}", place="kind", remedy=f"use one of {', '.join(MEASURES)}"
        )
    if request.scale is not None and request.kind != "calibration":
        raise SettingsError(
            f"{request.kind} has no scaling", place="--scale", remedy="leave it out, or measure calibration"
        )
    if request.kind == "history":  # it stands in the run's tables: neither network nor data are needed
        yield "geometry_history", measure_geometry_history(run)
        return
    held_out = request.kind in HELD_OUT and "test" in splits_of(run)
    split = request.split or ("test" if held_out else "train")
    examples = load_run_examples(run, split)
    found = MeasuredRun(run, examples, split, _loss_of(run, examples))
    measure, sliced = MEASURES[request.kind]
    plane = read_plane(request.plane, examples) if sliced else None
    if not checkpoints:
        result = measure(found, plane, request)
        yield _name_of(result), result
        return
    previous: Result | None = None
    for name in checkpoint_names(run):
        model, _ = load_network(run, f"checkpoints/{name}")
        moment = replace(found, examples=replace(examples, model=model), previous=previous, last=examples.model)
        previous = measure(moment, plane, request)
        yield f"{_name_of(previous)}_{name.partition('.')[0].replace('-', '_')}", previous


def _name_of(result: Result) -> str:
    """What a result is kept under: its stem, the split where it is of one, and how it was scaled."""
    stem, scaling = result.schema.partition("/")[0], getattr(result, "scaling", None)
    return "_".join(filter(None, (stem, getattr(result, "split", ""), getattr(scaling, "method", ""))))


def _loss_of(run: Run, examples: RunExamples) -> nn.Module:
    """The run's training loss."""
    settings, card = settings_of(run), read_card(run)
    counts = None
    if examples.classes is not None:
        known = examples.targets.numpy().ravel()
        counts = np.bincount(known[known >= 0], minlength=len(examples.classes))
    return build_loss(loss_spec(settings, card.task), card.task, outputs=card.outputs, class_counts=counts)
