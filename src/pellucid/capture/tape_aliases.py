"""Tensors that share memory: an in-place operation changes all of them, and the tape keeps what they held before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid.capture.tape_memory import is_repeatable
from pellucid.capture.tape_state import StateGuard, bytes_of
from pellucid.capture.tape_values import Step, Value

__all__ = ["AliasTracker", "alias_update"]

_PROTECTED = ("parameter", "buffer", "constant")
"""Origins of values that were there before the pass and must be as they were afterwards."""


def alias_update(input: Tensor, written: list[Tensor], geometry: list[tuple[Any, ...]]) -> Tensor:
    """A tensor after others that share its memory were written.

    Args:
        input: What it held before.
        written: What the others hold now, the latest last.
        geometry: (offset, shape, strides) of the input, then of each of the others, in the shared memory.

    >>> x = torch.zeros(2, 2)
    >>> alias_update(x, [torch.ones(2)], [(0, (2, 2), (2, 1)), (2, (2,), (1,))])
    tensor([[0., 0.],
            [1., 1.]])
    """
    start = min(offset for offset, _, _ in geometry)
    stop = max(_stop(*place) for place in geometry)
    memory = input.new_zeros(max(stop - start, 0))
    for tensor, (offset, shape, strides) in zip([input, *written], geometry, strict=True):
        region = torch.arange(stop - start, device=input.device).as_strided(shape, strides, offset - start)
        memory = memory.index_put((region.reshape(-1),), tensor.to(memory.dtype).reshape(-1))
    offset, shape, strides = geometry[0]
    return memory.as_strided(shape, strides, offset - start).clone()


class AliasTracker:
    """Knows which recorded values share memory, and saves them before an operation writes into it."""

    def __init__(self, recorder: Any, guard: StateGuard) -> None:
        self.entangled: set[int] = set()
        """The ids of values in memory that was written through one tensor and may be read through another: autograd's
        own edges do not tell their gradients apart."""
        self._recorder = recorder
        self._guard = guard
        self._indexed = 0
        self._sharing: dict[int, list[tuple[Value, Tensor]]] = {}
        self._writes: dict[int, list[tuple[Value, tuple[Any, ...]]]] = {}
        self.separated: set[int] = set()
        """The ids of values that were given a copy of their numbers."""

    def before_write(self, tensor: Tensor) -> None:
        """Give every value in the tensor's memory a copy of its own."""
        key = _storage_key(tensor)
        if key is None:
            return
        self._index()
        waiting = [(v, t) for v, t in self._sharing.get(key, ()) if v.id not in self.separated and v.tensor is not None]
        if not waiting:
            return
        recorder = self._recorder
        if recorder.memory is not None:
            for value, _ in waiting:
                if value.producer is not None and is_repeatable(recorder.steps[value.producer]):
                    value.tensor = None
                    self.separated.add(value.id)
            waiting = [(v, t) for v, t in waiting if v.tensor is not None]
        protected = any(v.origin in _PROTECTED for v, _ in waiting)
        storage_bytes = tensor.untyped_storage().nbytes()
        if protected or sum(v.nbytes for v, _ in waiting) >= storage_bytes:
            content = bytes_of(tensor)
            if protected:
                self._guard.keep_storage(tensor, content)
            memory = content.untyped_storage()
            for value, live in waiting:
                twin = torch.empty(0, dtype=live.dtype, device=live.device)
                value.tensor = twin.set_(memory, live.storage_offset(), live.shape, live.stride())
        else:
            for value, live in waiting:
                value.tensor = live.detach().clone()
        self.separated.update(v.id for v, _ in waiting)

    def after_write(self, tensor: Tensor, new: Value) -> None:
        """Note what was written, and that every other tensor in that memory has changed."""
        key = _storage_key(tensor)
        if key is None:
            return
        sharing = self._sharing.get(key, [])
        if any(live is not tensor for _, live in sharing):
            self.entangled.update(v.id for v, _ in sharing)
            self.entangled.add(new.id)
        for value, live in sharing:
            if live is not tensor:
                value.version = -1
        self._writes.setdefault(key, []).append((new, _geometry(tensor)))

    def refresh(self, tensor: Tensor, old: Value) -> Value:
        """The present value of a tensor whose memory was written through another."""
        recorder = self._recorder
        place = _geometry(tensor)
        key = _storage_key(tensor)
        writes = [(v, p) for v, p in self._writes.get(key or 0, ()) if v.id > old.id]
        if writes and not any(_meet(place, other) for _, other in writes):
            old.version = tensor._version
            return old
        index = len(recorder.steps)
        given = (old, [v for v, _ in writes], [place, *(p for _, p in writes)])
        step = Step(
            index, "alias_update", "pellucid.alias_update", recorder.phase, recorder.modules.module,
            recorder.modules.call, (), given, {}, alias_update if writes else None, None,
        )  # fmt: skip
        new = recorder.add(tensor, old.origin if not writes else "op", old.name, producer=index)
        step.outputs = (new,)
        recorder.steps.append(step)
        for value in (old, *(v for v, _ in writes)):
            value.consumers.append(index)
        self.entangled.update((old.id, new.id, *(v.id for v, _ in writes)))
        return new

    def before_restore(self) -> None:
        """Give the values after a write into the model's own tensors copies, since those will be put back."""
        self._index()
        for key in self._writes:
            sharing = self._sharing.get(key, [])
            if any(v.origin in _PROTECTED for v, _ in sharing):
                self.before_write(sharing[0][1])

    def forget(self, value: Value) -> None:
        """Stop holding a value's tensor."""
        key = _storage_key(value.tensor) if value.tensor is not None else None
        if key in self._sharing:
            self._sharing[key] = [(v, t) for v, t in self._sharing[key] if v is not value]

    def check(self, values: list[Value], version: Callable[[Tensor], int]) -> None:
        """Let go of numbers that something overwrote without the recorder seeing it."""
        for value in values:
            if value.version < 0 or value.tensor is None or value.id in self.separated:
                continue
            if value.version != version(value.tensor):
                value.tensor = None

    def _index(self) -> None:
        """Enter the values made since the last write."""
        values = self._recorder.values
        for value in values[self._indexed :]:
            if value.tensor is not None:
                key = _storage_key(value.tensor)
                if key is not None:
                    self._sharing.setdefault(key, []).append((value, value.tensor))
        self._indexed = len(values)


def _storage_key(tensor: Tensor) -> int | None:
    """What identifies a tensor's memory; None for tensors that have none of their own (sparse ones)."""
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):
        return None


def _geometry(tensor: Tensor) -> tuple[Any, ...]:
    """(offset, shape, strides) in memory."""
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _stop(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """The position after the last entry."""
    if 0 in shape:
        return offset
    return offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)) + 1


def _meet(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two regions of memory may overlap."""
    return one[0] < _stop(*other) and other[0] < _stop(*one)
