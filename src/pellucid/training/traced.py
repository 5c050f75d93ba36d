"""One example of a run's data, traced through the run's network and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid.data.load import prepare
from pellucid.errors import DataError
from pellucid.lenses.trace import Trace, trace
from pellucid.results.data_report import DataReport
from pellucid.training.assembly import loss_spec
from pellucid.training.batches import Batches
from pellucid.training.losses import build_loss
from pellucid.training.trained import load_network, settings_of

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared
    from pellucid.store.run import Run

__all__ = ["trace_example"]


def trace_example(run: Run, example: int) -> tuple[Trace, str]:
    """Trace one row of the data that a run was trained on, on the CPU and in evaluation mode.

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
    prepared = prepare(run.manifest.source, settings.data, seed=settings.seed)
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
    return trace(model, inputs, target=targets, loss=loss), split


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
