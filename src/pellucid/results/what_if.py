"""One number changed: the new output and loss, beside what the slope promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["WhatIf"]


@dataclass(frozen=True, eq=False)
class WhatIf(Result):
    """The forward pass repeated with one weight, bias, activation or input set to another value."""

    schema: ClassVar[str] = "what_if/1"

    name: str  # of the value that was changed
    index: tuple[int, ...]
    before: float
    after: float
    loss_before: float  # nan without a loss
    loss_after: float
    slope: float  # ∂loss/∂entry before the change; nan where no gradient reaches it
    predicted_loss: float  # loss_before + slope · (after − before)
    output_name: str
    output_before: np.ndarray  # the model's first output, at most its first 4,096 entries, flat
    output_after: np.ndarray
    output_shape: tuple[int, ...]  # the whole output's
    changed_outputs: int  # entries of the whole output that differ
    note: str  # what a person must know, e.g. that dropout repeated its mask
