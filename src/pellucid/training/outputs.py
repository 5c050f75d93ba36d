"""From a network's raw outputs to what a person reads: class probabilities, or numbers in the target's own unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid.training.losses import to_probabilities
from pellucid.training.measures import collect_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.training.batches import Batches
    from pellucid.training.spec import LossSpec

__all__ = ["MOST_NUMBERS", "Predictions", "predict_batches", "rescale"]

MOST_NUMBERS = 1 << 26
"""At most so many probabilities are kept at once: half a gigabyte. Only many-to-many text can have more."""

_IGNORED = -100


@dataclass(frozen=True)
class Predictions:
    """What a network says of some examples.

    Attributes:
        values: ``(n, classes)`` probabilities, or ``(n, outputs)`` numbers in the target's unit; float64.
        targets: ``(n,)`` class numbers or ``(n, outputs)`` numbers in the target's unit; None where they are not known.
        examples: ``(n,)`` which example each belongs to, counted from 0: each once, but for many-to-many text.
        steps: ``(n,)`` the step within the example, for many-to-many text; else None.
        truncated: How many examples at the end were left out, because together they are too large.
    """

    values: np.ndarray
    targets: np.ndarray | None
    examples: np.ndarray
    steps: np.ndarray | None = None
    truncated: int = 0


def predict_batches(
    model: nn.Module,
    batches: Batches,
    *,
    task: str,
    loss: LossSpec,
    target_scale: tuple[np.ndarray, np.ndarray] | None,
    has_targets: bool = True,
) -> Predictions:
    """Run ``model`` in evaluation mode and in float32 over all examples, in their order.

    Args:
        model: On the device of ``batches``.
        batches: The examples; where they have no targets, any stand in.
        task: ``classification`` or ``regression``.
        loss: That of the training; it says what the outputs mean.
        target_scale: Mean and standard deviation of a standardised target.
        has_targets: Whether the targets of ``batches`` mean anything.
    """
    model.eval()
    many = task == "classification" and batches.targets.ndim == 2
    kept, truncated = _bounded(model, batches) if many else (batches, 0)
    with torch.inference_mode():
        outputs = collect_outputs(model, kept)
    if many:
        return _per_step(outputs, kept, loss, truncated, has_targets)
    targets = kept.targets.cpu().numpy() if has_targets else None
    if task == "classification":
        values = to_probabilities(outputs, loss).cpu().numpy()
    else:
        values = rescale(outputs.double().cpu().numpy(), target_scale)
        targets = None if targets is None else rescale(targets.astype(np.float64), target_scale)
    return Predictions(values, targets, np.arange(len(values)))


def rescale(values: np.ndarray, target_scale: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """``(n, outputs)`` standardised numbers in the target's own unit."""
    values = values.reshape(len(values), -1)
    if target_scale is None:
        return values
    mean, std = (np.asarray(part, dtype=np.float64) for part in target_scale)
    return values * std + mean


def _bounded(model: nn.Module, batches: Batches) -> tuple[Batches, int]:
    """As many of the first examples as ``MOST_NUMBERS`` outputs allow, and how many are left out."""
    from dataclasses import replace

    with torch.inference_mode():
        each = model(batches.scale(batches.inputs[:1])).numel()
    most = max(1, MOST_NUMBERS // max(1, each))
    if most >= len(batches):
        return batches, 0
    return replace(batches, inputs=batches.inputs[:most], targets=batches.targets[:most]), len(batches) - most


def _per_step(outputs: Tensor, batches: Batches, loss: LossSpec, truncated: int, has_targets: bool) -> Predictions:
    """Many-to-many text: one prediction a step, those left out that nothing follows or that are padding."""
    known = batches.targets != _IGNORED if has_targets else batches.inputs != 0
    examples, steps = known.nonzero(as_tuple=True)
    values = to_probabilities(outputs[known], loss).cpu().numpy()
    targets = batches.targets[known].cpu().numpy() if has_targets else None
    return Predictions(values, targets, examples.cpu().numpy(), steps.cpu().numpy(), truncated)
