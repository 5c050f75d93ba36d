"""One example of a run's data, traced through the run's network and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid.errors import DataError
from pellucid.lenses.trace import Trace, trace
from pellucid.results.data_report import DataReport
from pellucid.training.assembly import loss_spec
from pellucid.training.batches import Batches
from pellucid.training.checkpoints import LAST, unpack_state
from pellucid.training.label_noise import prepare_as_trained
from pellucid.training.losses import build_loss
from pellucid.training.optimizers import build_optimizer
from pellucid.training.spec import OptimizerSpec
from pellucid.training.trained import load_network, settings_of

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from pellucid.data.prepared import Prepared
    from pellucid.store.run import Run
    from pellucid.training.settings import FitSettings

__all__ = ["trace_example"]


def trace_example(run: Run, example: int) -> tuple[Trace, str]:
    """Trace one row of the data that a run was trained on, on the CPU and in evaluation mode.

    The update is the one that the run's optimiser would make with this row alone, at the learning rate of the settings:
    from the state of the last checkpoint if the weights are those of that checkpoint, else from its beginning.

    Args:
        run: A fit.
        example: The row's number in the source, from 0.

    Returns:
        The trace, and the split that the row is in.

    Raises:
        DataError: there is no such row, it is in no split, or the data has changed since.
        RunError: the run is no fit, or has no weights yet.
    """
    settings = settings_of(run)
    model, card = load_network(run)
    prepared = prepare_as_trained(run.manifest.source, settings)
    _check_unchanged(run, prepared)
    split, place = _find(prepared, example, run.manifest.source)
    batches = Batches.of(prepared, split, torch.device("cpu"))
    inputs, targets = batches.take(torch.tensor([place]))
    counts = None
    if prepared.classes is not None:
        known = prepared.splits["train"].targets.cpu().numpy().ravel()
        counts = np.bincount(known[known >= 0], minlength=len(prepared.classes))
    spec = loss_spec(settings, card.task)
    loss = build_loss(spec, card.task, outputs=prepared.outputs, class_counts=counts)
    return trace(model, inputs, target=targets, loss=loss, optimizer=_optimizer(run, settings, model)), split


def _optimizer(run: Run, settings: FitSettings, model: nn.Module) -> Optimizer | None:
    """The run's optimiser where it stood; None for one that runs the model several times in a step."""
    spec = settings.optimizer or OptimizerSpec()
    if spec.needs_closure:
        return None
    optimizer = build_optimizer(spec, model)
    if LAST.partition("/")[2] not in run.file_names("checkpoints"):
        return optimizer
    state = unpack_state(run.read_file(LAST), place=f"{run.location}/{LAST}")
    own, theirs = model.state_dict(), state.get("model", {})
    if own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name]) for name in own):
        optimizer.load_state_dict(state["optimizer"])
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate  # a schedule that has run out would let nothing move
    return optimizer


def _find(prepared: Prepared, example: int, source: str) -> tuple[str, int]:
    """The split that a source row is in, and its place there."""
    for name, part in prepared.splits.items():
        places = np.flatnonzero(part.rows == example)
        if len(places):
            return name, int(places[0])
    last = max((int(part.rows.max()) for part in prepared.splits.values() if len(part)), default=-1)
    raise DataError(
        f"row {example} is in no split of the training data",
        place=source,
        remedy=f"give a row between 0 and {last} that has a target and was not left out",
    )


def _check_unchanged(run: Run, prepared: Prepared) -> None:
    report = run.result("data_report") if "data_report" in run.result_names() else None
    if isinstance(report, DataReport) and report.fingerprint != prepared.report.fingerprint:
        raise DataError(
            "the data has changed since the run was made, so its rows are not those of the training any more",
            place=run.manifest.source,
            remedy="put the old data back",
        )
