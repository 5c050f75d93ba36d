"""What a measure of a run works on: the run's network, the examples of one split, the loss, and its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DataError, RunNotFoundError
from pellucid.results.data_report import DataReport

if TYPE_CHECKING:
    from torch import nn

    from pellucid.results.base import Result
    from pellucid.store.run import Run
    from pellucid.training.run_examples import RunExamples

__all__ = [
    "HELD_OUT",
    "Measure",
    "MeasuredRun",
    "Request",
    "checkpoint_names",
    "kept_epochs",
    "labelled_examples",
    "some_examples",
    "splits_of",
]

_SNAPSHOT = re.compile(r"epoch-(\d+)\.safetensors")


HELD_OUT = frozenset({"calibration", "margins", "robustness"})
"""Measures of how well a network does on what it has not seen."""


@dataclass(frozen=True)
class Request:
    """What to measure, and how.

    Attributes:
        kind: One of ``MEASURES``.
        plane: ``pca``, ``features:i,j``, ``examples:a,b,c`` (places in the split, from 0), ``latent:LAYER`` or
            ``latent:LAYER:i,j``; for the landscape, ``path`` is the plane of the run's checkpoints.
        layer: One layer, for what is measured of layers.
        split: Whose examples are taken; None for the test split where the measure asks how well the network does
            (``HELD_OUT``) and the run has one, else for the training split.
        example: The place in the split of the example to look at, for what is measured of one; where a line begins.
        to: The place in the split of the example that a line ends at; None for the first of another class.
        index: The entry of a weight that is moved; None for the largest.
        resolution: Points along each direction; None takes what suits the measure.
        most: At most so many examples, for what is measured of the loss.
        linearise: For the regions of a smooth network: the error allowed in an output when it is linearised.
        scale: For calibration: ``temperature``, ``vector`` or ``isotonic``, fitted on the validation split.
    """

    kind: str
    plane: str = "pca"
    layer: str | None = None
    split: str | None = None
    example: int = 0
    resolution: int | None = None
    most: int = 2000
    linearise: float | None = None
    to: int | None = None
    index: tuple[int, ...] | None = None
    scale: str | None = None


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """All that a measure may ask of a run.

    Attributes:
        run: The fit.
        examples: Its network and the examples of one split.
        split: Which.
        loss: Its training loss, the mean over a batch.
        previous: The same measure of the checkpoint before, for what is aligned across time.
        last: The network as it ended, where a checkpoint is measured, for what is drawn as that one.
    """

    run: Run
    examples: RunExamples
    split: str
    loss: nn.Module
    previous: Result | None = None
    last: nn.Module | None = None

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode."""
        return self.examples.model

    @property
    def classes(self) -> np.ndarray | None:
        """The class number of every example; None for a regression, or where an example has many targets."""
        targets = self.examples.targets
        return targets.numpy() if self.examples.classes is not None and targets.dim() == 1 else None


Measure = Callable[[MeasuredRun, Any, Request], "Result"]
"""How one kind is measured: of a run, in a plane (None where it needs none), as asked."""


def kept_epochs(run: Run) -> dict[int, str]:
    """The weights that a run kept of its epochs, the earliest first; nothing where it kept none."""
    found = {
        int(match[1]): match.string for name in run.file_names("checkpoints") if (match := _SNAPSHOT.fullmatch(name))
    }
    return dict(sorted(found.items()))


def checkpoint_names(run: Run) -> list[str]:
    """The weights that a run kept of its epochs, the earliest first.

    Raises:
        RunNotFoundError: it kept none.
    """
    names = list(kept_epochs(run).values())
    if not names:
        raise RunNotFoundError(
            "the run kept no weights of its epochs", place=run.location, remedy="measure it without checkpoints"
        )
    return names


def splits_of(run: Run) -> tuple[str, ...]:
    """The splits of the run's data that have examples."""
    report = run.result("data_report") if "data_report" in run.result_names() else None
    sizes = report.split_sizes if isinstance(report, DataReport) else {}
    return tuple(name for name, size in sizes.items() if size)


def some_examples(found: MeasuredRun, most: int) -> tuple[Any, Any]:
    """The examples and targets, evenly thinned to so many."""
    inputs, targets = found.examples.inputs, found.examples.targets
    if len(inputs) <= most:
        return inputs, targets
    places = np.linspace(0, len(inputs) - 1, most).round().astype(np.int64)
    return inputs[places], targets[places]


def labelled_examples(found: MeasuredRun, most: int | None = None) -> tuple[Any, Any]:
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
    return (found.examples.inputs, found.examples.targets) if most is None else some_examples(found, most)
