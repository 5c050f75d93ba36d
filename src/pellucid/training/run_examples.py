"""A run's network with the examples of one of its splits, as the network takes them, and their numbers' names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pellucid.errors import DataError, SettingsError
from pellucid.results.data_report import DataReport
from pellucid.training.batches import Batches
from pellucid.training.label_noise import prepare_as_trained
from pellucid.training.trained import load_network, settings_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.store.run import Run

__all__ = ["RunExamples", "load_run_examples"]


@dataclass(frozen=True, eq=False)
class RunExamples:
    """What a lens needs of a run.

    Attributes:
        model: The network, in evaluation mode.
        inputs: The examples as the network takes them: preprocessed, standardised, images as floats.
        targets: Class numbers, or numbers in the network's own (standardised) unit.
        feature_names: What the preprocessing calls each number of an example of a table; None for other data.
        classes: The classes' names; None for a regression.
        output_names: The targets' names of a regression; None for classes.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    feature_names: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    output_names: tuple[str, ...] | None


def load_run_examples(run: Run, split: str = "train") -> RunExamples:
    """Read a run's network and prepare its data again.

    Args:
        run: A fit.
        split: "train", "validation" or "test".

    Raises:
        SettingsError: the data has no such split.
        DataError: the data has changed since.
        RunError: the run is no fit, or has no weights yet.
    """
    settings = settings_of(run)
    model, card = load_network(run)
    prepared = prepare_as_trained(run.manifest.source, settings)
    report = run.result("data_report") if "data_report" in run.result_names() else None
    if isinstance(report, DataReport) and report.fingerprint != prepared.report.fingerprint:
        raise DataError(
            "the data has changed since the run was made, so its rows are not those of the training any more",
            place=run.manifest.source,
            remedy="put the old data back",
        )
    if split not in prepared.splits:
        raise SettingsError(
            f"the data has no split {split!r}", place="split", remedy=f"use one of {', '.join(prepared.splits)}"
        )
    batches = Batches.of(prepared, split, torch.device("cpu"))
    inputs, targets = batches.take(torch.arange(len(prepared.splits[split])))
    return RunExamples(
        model=model,
        inputs=inputs,
        targets=targets,
        feature_names=getattr(prepared.preparation, "feature_names", None),
        classes=card.classes,
        output_names=None if card.classes is not None else card.target_names,
    )
