"""The gradient of every value from one backward pass that touches no ``.grad`` and leaves no hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from pellucid.capture.tape_replay import run_step
from pellucid.capture.tape_values import Step, Value, values_in

__all__ = ["differentiate", "disentangle", "recompute_gradient", "without_dead_ends"]

Read = Callable[[Value], Tensor]


def differentiate(loss: Tensor, values: Sequence[Value]) -> None:
    """Set the gradient of each value that autograd followed.

    The edges were taken when the values were made, so a later in-place operation does not confuse them.
    """
    asked: list[tuple[Value, Any]] = []
    for value in values:
        if value.uses and len(value.uses) == len(value.consumers):
            asked.extend((value, edge) for edge in reversed(value.uses))
        elif value.edge is not None:
            asked.append((value, value.edge))
    edges: Any = [edge if isinstance(edge, Tensor) else GradientEdge(*edge) for _, edge in asked]
    parts: dict[int, list[Tensor]] = {}
    for (value, _), gradient in zip(asked, torch.autograd.grad(loss, edges, allow_unused=True), strict=True):
        if value.uses and gradient is not None:
            parts.setdefault(value.id, []).append(gradient)
        else:
            value.gradient = gradient
    for value in values:
        if value.id in parts:
            value.gradient = _add_up(parts.pop(value.id), [other.gradient for other in values])


def without_dead_ends(values: Sequence[Value]) -> Sequence[Value]:
    """The values without those before an operation that has no derivative, such as ``//``.

    torch raises there as soon as anything before it is asked for, and an ordinary pass asks for the parameters alone.
    Where one of them lies before it, nothing is left out, and torch says what is wrong.
    """
    waiting = [v.edge[0] for v in values if type(v.edge) is tuple and type(v.edge[0]).__name__ == "NotImplemented"]
    if not waiting:
        return values
    before = set(waiting)
    while waiting:
        for upper, _ in waiting.pop().next_functions:
            if upper is not None and upper not in before:
                before.add(upper)
                waiting.append(upper)
    leaves = {id(leaf) for node in before if (leaf := getattr(node, "variable", None)) is not None}
    if any(value.origin == "parameter" and id(value.edge) in leaves for value in values):
        return values
    return [value for value in values if type(value.edge) is not tuple or value.edge[0] not in before]


def _add_up(parts: list[Tensor], others: Sequence[Tensor | None]) -> Tensor:
    """The sum of a parameter's gradients by its uses, in the memory of the first where nothing else needs that."""
    total = parts.pop(0)
    in_place = not any(_overlap(total, other) for other in (*others, *parts, None))
    while parts:
        part = parts.pop(0)
        total = total.add_(part) if in_place else total + part
    return total


def _overlap(gradient: Tensor, other: Tensor | None) -> bool:
    """Whether writing a gradient might change another: they share memory, or its own entries do."""
    storage = gradient.untyped_storage()
    if storage.nbytes() != gradient.nbytes:
        return True
    return other is not None and other.untyped_storage()._cdata == storage._cdata


def disentangle(steps: Sequence[Step], values: Sequence[Value], entangled: set[int], read: Read) -> None:
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
        value.gradient = _total(value, steps, entangled, read, handed_back)
        value.requires_grad = value.requires_grad or value.gradient is not None


def recompute_gradient(value: Value, steps: Sequence[Step], values: Sequence[Value], read: Read) -> Tensor | None:
    """A gradient that was not kept, from the nearest ones behind it that were."""
    needed = {value.id}
    waiting = [value]
    while waiting:
        for index in waiting.pop().consumers:
            for out in steps[index].outputs:
                if not out.gradient_kept and out.id not in needed:
                    needed.add(out.id)
                    waiting.append(out)
    handed_back: dict[int, dict[int, Tensor]] = {}
    found: dict[int, Tensor | None] = {}
    for key in sorted(needed, reverse=True):
        found[key] = values[key].gradient = _total(values[key], steps, needed, read, handed_back)
    for key in needed:
        values[key].gradient = None
    return found[value.id]


def _total(
    value: Value, steps: Sequence[Step], wanted: set[int], read: Read, handed_back: dict[int, dict[int, Tensor]]
) -> Tensor | None:
    """The sum of what a value's readers hand back."""
    total: Tensor | None = None
    for index in dict.fromkeys(value.consumers):
        if value in steps[index].outputs:
            continue
        if index not in handed_back:
            handed_back[index] = _hand_back(steps[index], wanted, read)
        part = handed_back[index].get(value.id)
        if part is not None:
            total = part if total is None else total + part
    return total


def _hand_back(step: Step, wanted: set[int], read: Read) -> dict[int, Tensor]:
    """What one step adds to the gradients of those of its arguments that are wanted."""
    made = [out for out in step.outputs if out.gradient is not None]
    if step.callable is None or not made or not step.grad_enabled:
        return {}
    leaves: dict[int, Tensor] = {}
    for value in values_in((step.given, step.keywords)):
        if value.id in wanted and value.dtype.is_floating_point and value.id not in leaves:
            leaves[value.id] = read(value).detach().requires_grad_()
    if not leaves:
        return {}
    with torch.enable_grad():
        results = run_step(step, lambda value: leaves[value.id] if value.id in leaves else read(value).detach())
        pairs: list[tuple[Tensor, Any]] = [
            (result, out.gradient)
            for result, out in zip(results, step.outputs, strict=False)
            if out.gradient is not None and result.requires_grad
        ]
        if not pairs:
            return {}
        parts = torch.autograd.grad(
            [r for r, _ in pairs], list(leaves.values()), [g for _, g in pairs], allow_unused=True
        )
    return {key: part for key, part in zip(leaves, parts, strict=True) if part is not None}
