"""What every kind of data becomes before training: tensors by split, what they mean, and the way back from raw rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas
    import torch

    from pellucid.results.data_report import DataReport

__all__ = ["Modality", "Preparation", "Prepared", "RawRows", "Split", "Task"]

Modality = Literal["table", "image", "text", "series"]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Split:
    """One part of the data, ready for a network.

    Attributes:
        inputs: ``(batch, features)`` floats for tables; ``(batch, channels, height, width)`` for images, kept as
            ``uint8`` where they came so (``Prepared.scale_inputs`` makes floats of a batch); ``(batch, steps)`` int64
            token numbers for text, 0 is padding; ``(batch, steps, features)`` floats for series.
        targets: ``(batch,)`` int64 class numbers, or ``(batch, outputs)`` floats, standardised where
            ``Prepared.target_scale`` says so. For many-to-many text ``(batch, steps)`` int64, -100 for none.
        rows: ``(batch,)`` the row numbers in the source, from 0 (for a series: of the window's last known value).
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class RawRows:
    """Raw rows turned into inputs for prediction, in the order in which they stood in the file."""

    inputs: torch.Tensor
    targets: torch.Tensor | None  # where the target stands in the file too
    identifiers: pandas.DataFrame  # what names each row in the output: row number, identifier columns, file name


class Preparation(Protocol):
    """The fitted preprocessing of one kind of data: the same raw rows give the same inputs, for ever."""

    @property
    def modality(self) -> Modality:
        """The kind of data it prepares."""
        ...

    def read(self, path: Any) -> RawRows:
        """Read raw rows from a file or folder (or, but for images, a DataFrame) like the training data's."""
        ...

    def preview(self, rows: np.ndarray) -> dict[str, Any]:
        """What a person recognises of source rows: ``{"texts": [...]}``, ``{"images": uint8 array}`` …"""
        ...

    def save(self, folder: Path) -> None:
        """Write everything needed to ``read`` again into ``folder``; nothing is pickled."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A source split and preprocessed: what ``pellucid fit`` trains on.

    ``input_shape`` is a single example's shape without the batch axis. ``target_scale`` is ``(mean, std)`` per output
    of a standardised regression target, so that ``prediction * std + mean`` is in the target's own unit.
    """

    modality: Modality
    task: Task
    splits: dict[str, Split]  # "train", "validation", "test"
    input_shape: tuple[int, ...]
    classes: tuple[str, ...] | None  # names in the order of their class numbers
    target_names: tuple[str, ...]
    target_scale: tuple[np.ndarray, np.ndarray] | None
    preparation: Preparation
    report: DataReport
    pixel_scale: tuple[np.ndarray, np.ndarray] | None = None  # per-channel mean and std of images in 0…1
    vocabulary_size: int | None = None  # of text, padding (0) and unknown (1) included
    notes: tuple[str, ...] = field(default=())  # what was inferred and decided, in sentences for the person

    @property
    def outputs(self) -> int:
        """How many numbers the network must give per example (or per step)."""
        return len(self.classes) if self.classes is not None else len(self.target_names)
