"""The gradient of every value from one backward pass that touches no ``.grad`` and leaves no hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from pellucid.capture.tape_replay import run_step
from pellucid.capture.tape_values import Step, Value, values_in

__all__ = ["differentiate", "disentangle"]


def differentiate(loss: Tensor, values: Sequence[Value]) -> None:
    """Set the gradient of each value that autograd followed.

    The edges were taken when the values were made, so a later in-place operation does not confuse them.
    """
    asked = [value for value in values if value.edge is not None]
    edges = [e if isinstance(e := value.edge, Tensor) else GradientEdge(*e) for value in asked]
    gradients = torch.autograd.grad(loss, edges, allow_unused=True)
    for value, gradient in zip(asked, gradients, strict=True):
        value.gradient = gradient


def disentangle(steps: Sequence[Step], values: Sequence[Value], entangled: set[int]) -> None:
    """The gradients of values in memory that was written through one tensor and read through another.

    Autograd rewrites its graph there, so its edges no longer stand for the values before and after the write. Each such
    gradient is the sum over the value's readers of what the reader hands back, from the last to the first.
    """
    handed_back: dict[int, dict[int, Tensor]] = {}
    for value in reversed(values):
        if value.id not in entangled or not value.consumers or not value.dtype.is_floating_point:
            continue
        # A parameter's gradient is what autograd says, even where the model wrote into it behind autograd's back.
        if isinstance(value.edge, Tensor):
            continue
        total: Tensor | None = None
        for index in dict.fromkeys(value.consumers):
            if index not in handed_back:
                handed_back[index] = _hand_back(steps[index], entangled)
            part = handed_back[index].get(value.id)
            if part is not None:
                total = part if total is None else total + part
        value.gradient = total
        value.requires_grad = value.requires_grad or total is not None


def _hand_back(step: Step, entangled: set[int]) -> dict[int, Tensor]:
    """What one step adds to the gradients of its entangled arguments."""
    made = [out for out in step.outputs if out.gradient is not None]
    if step.callable is None or not made or not step.grad_enabled:
        return {}
    leaves: dict[int, Tensor] = {}

    def read(value: Value) -> Tensor:
        tensor = value.tensor
        if tensor is None:
            raise RuntimeError("a value needed for a gradient was dropped")
        if value.id in entangled and value.dtype.is_floating_point:
            return leaves.setdefault(value.id, tensor.detach().requires_grad_())
        return tensor.detach()

    for value in values_in((step.given, step.keywords)):
        read(value)
    if not leaves:
        return {}
    with torch.enable_grad():
        results = run_step(step, read)
        pairs: list[tuple[Tensor, Any]] = [
            (result, out.gradient)
            for result, out in zip(results, step.outputs, strict=False)
            if out.gradient is not None and result.requires_grad
        ]
        if not pairs:
            return {}
        ids = list(leaves)
        parts = torch.autograd.grad(
            [r for r, _ in pairs], [leaves[i] for i in ids], [g for _, g in pairs], allow_unused=True
        )
    return {i: part for i, part in zip(ids, parts, strict=True) if part is not None}
