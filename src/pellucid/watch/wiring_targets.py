"""What predictions and targets look like: probabilities by row, one-hot rows, the values that targets take."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.watch.wiring_calls import CallRecord
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = ["ShapeOfLoss", "TargetValues", "class_axis", "compared_in_evaluation", "look_at_shape"]

_MOST_VALUES = 64
_MOST_LOOKED_AT = 4_096
_TOLERANCE = 1e-3
"""A row's sum counts as 1 within this: float16 probabilities of a few classes are off by up to 5e-4."""

_CLASS_SECOND = {"cross_entropy", "nll"}


@dataclass(frozen=True, slots=True)
class ShapeOfLoss:
    """What the tensors of a loss looked like when they were first seen."""

    rows_sum_to_one: float = math.nan
    log_rows_sum_to_one: float = math.nan
    target_one_hot: bool = False
    classes: int = 0


@dataclass(slots=True)
class TargetValues:
    """The distinct values that targets take, at most 64 of them."""

    values: set[float] = field(default_factory=set)

    def add(self, target: Tensor | None) -> None:
        """Look at one batch's targets."""
        if target is None or target.numel() == 0 or len(self.values) >= _MOST_VALUES:
            return
        flat = target.detach().reshape(-1)
        found = torch.unique(flat[:: -(-flat.numel() // _MOST_LOOKED_AT)].float())
        self.values.update(value for value in found.tolist() if math.isfinite(value))

    @property
    def kept(self) -> tuple[float, ...]:
        """In order."""
        return tuple(sorted(self.values)[:_MOST_VALUES])


def class_axis(kind: str, prediction: Tensor) -> int:
    """The axis of a prediction along which its classes, or outputs, lie.

    >>> class_axis("cross_entropy", torch.zeros(8, 10, 5)), class_axis("mse", torch.zeros(8, 10, 5))
    (1, 2)
    """
    if kind in _CLASS_SECOND and prediction.ndim > 1:
        return 1
    return max(prediction.ndim - 1, 0)


def look_at_shape(kind: str, prediction: Tensor | None, target: Tensor | None) -> ShapeOfLoss:
    """Look at the tensors of a loss."""
    if prediction is None or prediction.numel() == 0 or prediction.is_complex():
        return ShapeOfLoss()
    axis = class_axis(kind, prediction)
    classes = prediction.shape[axis] if prediction.ndim > 1 else 1
    plain, logarithmic = math.nan, math.nan
    if classes > 1:
        rows = prediction.detach().movedim(axis, -1).reshape(-1, classes)[:_MOST_LOOKED_AT].float()
        inside = ((rows >= 0) & (rows <= 1)).all(1)
        plain = (((rows.sum(1) - 1).abs() < _TOLERANCE) & inside).float().mean().item()
        logarithmic = ((rows.exp().sum(1) - 1).abs() < _TOLERANCE).float().mean().item()
    return ShapeOfLoss(plain, logarithmic, _is_one_hot(target), classes)


def compared_in_evaluation(record: CallRecord, start: int, end: int, outputs: set[int]) -> SeenTensor | None:
    """What the outputs of an evaluation were held against: the target of a loss, of ``==`` or of a difference."""
    from_outputs, found = set(outputs), []
    for call, reached in record.downstream(outputs, start):
        if call.order >= end:
            break
        from_outputs = reached
        outside = [tensor for tensor in call.inputs if tensor.key not in from_outputs and not tensor.is_parameter]
        outside = [tensor for tensor in outside if tensor.shape and tensor.key not in record.doors]
        if not outside:
            continue
        if "target" in call.named:
            return call.named["target"] if call.named["target"].key not in from_outputs else outside[0]
        if call.name in ("eq", "ne"):
            found.append((0, call.order, outside[0]))
        elif call.name in ("sub", "rsub"):
            found.append((1, call.order, outside[0]))
    return min(found, key=lambda item: item[:2])[2] if found else None


def _is_one_hot(target: Tensor | None) -> bool:
    """Whether each row holds one 1 and zeros; rows lie along the last axis, or the second of an image."""
    if target is None or target.ndim < 2 or target.numel() == 0:
        return False
    for axis in {target.ndim - 1, 1}:
        if target.shape[axis] > 1:
            rows = target.detach().movedim(axis, -1).reshape(-1, target.shape[axis])[:_MOST_LOOKED_AT]
            if bool(((rows == 1).sum(1) == 1).all() & ((rows == 0) | (rows == 1)).all()):
                return True
    return False
