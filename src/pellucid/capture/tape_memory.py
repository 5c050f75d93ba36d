"""Keeping a tape within a limit of memory: what is largest and can be computed again is let go."""

from __future__ import annotations

import heapq
import weakref
from collections.abc import Callable, Sequence

from pellucid.capture.tape_values import Step, Value

__all__ = ["MemoryKeeper", "choose_gradients", "is_repeatable", "watch_for_end"]


class MemoryKeeper:
    """Lets go of the largest values while they come about, once those that are kept exceed a limit.

    Values that share memory go together. Inputs, parameters and buffers belong to the person and are not counted.
    """

    def __init__(self, limit: int, forget: Callable[[Value], None]) -> None:
        self.held = 0
        """The bytes of the values that are kept."""
        self._limit = limit
        self._forget = forget
        self._groups: dict[int, list[Value]] = {}
        self._sizes: dict[int, int] = {}
        self._largest: list[tuple[int, int]] = []

    def exclude(self, values: Sequence[Value]) -> None:
        """Values that are not counted and never let go of."""
        for value in values:
            if value.tensor is not None and (key := _key(value)) is not None:
                self._groups[key] = []

    def note(self, step: Step) -> None:
        """Count what a step made, and let go of as much as the limit asks."""
        repeatable = is_repeatable(step)
        for value in step.outputs:
            key = _key(value) if value.producer == step.index else None
            if key is None or value.tensor is None:
                continue
            group = self._groups.get(key)
            if group is None:
                size = value.tensor.untyped_storage().nbytes()
                self._groups[key], self._sizes[key] = [value], size
                self.held += size
                if repeatable:
                    heapq.heappush(self._largest, (-size, key))
            elif key in self._sizes:
                group.append(value)
        while self.held > self._limit and self._largest:
            size, key = heapq.heappop(self._largest)
            if self._sizes.get(key) != -size:
                continue
            self.held += size
            del self._sizes[key]
            for value in self._groups.pop(key):
                self._forget(value)


def is_repeatable(step: Step) -> bool:
    """Whether a step run again gives the same: not where torch hides what it did, or hands out unwritten memory."""
    return step.callable is not None and not step.op.startswith(("empty", "new_empty", "resize"))


def choose_gradients(values: Sequence[Value], steps: Sequence[Step], room: int) -> set[int]:
    """The ids of the values whose gradients are kept: all of the person's tensors, then the smallest that fit."""
    kept = {value.id for value in values if value.origin != "op"}
    for step in steps:
        if step.callable is None:
            kept.update(value.id for value in step.inputs)
    for value in sorted(values, key=lambda value: value.nbytes):
        if value.id not in kept and value.nbytes <= room:
            room -= value.nbytes
            kept.add(value.id)
    return kept


def _key(value: Value) -> int | None:
    """What identifies a value's memory."""
    if value.tensor is None:
        return None
    try:
        return value.tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):
        return None


def watch_for_end(value: Value, known: dict[int, Value]) -> None:
    """Recognise a value's tensor for as long as the model holds it, and no longer."""
    tensor = value.tensor
    assert tensor is not None
    name = id(tensor)

    def end(_: object) -> None:
        if known.get(name) is value:
            del known[name]

    value.reference = weakref.ref(tensor, end)
    value.tensor = None
