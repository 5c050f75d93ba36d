"""How the loss answers as the learning rate grows: where to start training from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["LearningRateRange"]


@dataclass(frozen=True, eq=False)
class LearningRateRange(Result):
    """Loss over an exponentially growing learning rate (Smith 2017, section 3.3), on a copy of the network."""

    schema: ClassVar[str] = "learning_rate_range/1"

    learning_rate: np.ndarray  # (steps,) float64
    loss: np.ndarray  # (steps,) raw mini-batch loss
    smoothed_loss: np.ndarray  # (steps,) bias-corrected exponential moving average
    suggestion: float  # the rate to train with
    steepest: float  # where the smoothed loss falls fastest
    diverged_at: float | None  # the first rate at which the loss was 4 × its minimum, or None
    optimizer: str
    reason: str  # how the suggestion was chosen, a sentence
