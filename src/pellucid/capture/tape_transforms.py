"""What runs inside ``torch.func`` (vmap, grad, jvp): the tensors there stand for many and cannot be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch._C import _functorch  # type: ignore[attr-defined]  # torch has no stubs for it

from pellucid.capture.tape_values import Value

__all__ = ["TransformWatch", "innermost_transform"]

innermost_transform = _functorch.peek_interpreter_stack


class TransformWatch:
    """Notes from which recorded values a transform read, since the recorder only sees its result.

    Attributes:
        name: The transform that ran last: "vmap", "grad"; "" if none did.
        ended: Whether an operation has run outside since.
    """

    def __init__(self, find: Callable[[Tensor], Value | None]) -> None:
        self.name = ""
        self._find = find
        self._sources: dict[int, Value] = {}
        self.ended = True

    def note(self, args: Any, kwargs: Any) -> None:
        """Note the tensors of a call inside a transform that come from outside."""
        if self.ended:
            self.ended, self._sources = False, {}
            self.name = innermost_transform().key().name.lower()
        for tensor in _tensors((args, kwargs)):
            value = self._find(_outermost(tensor))
            if value is not None:
                self._sources[value.id] = value

    def sources(self) -> list[Value]:
        """The values that the last transform read."""
        return [self._sources[key] for key in sorted(self._sources)]


def _outermost(tensor: Tensor) -> Tensor:
    """The tensor that was given to the transform."""
    wrapped = _functorch.is_functorch_wrapped_tensor
    while wrapped(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor


def _tensors(structure: Any) -> Iterator[Tensor]:
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, list | tuple):
        for item in structure:
            yield from _tensors(item)
    elif isinstance(structure, dict):
        yield from _tensors(list(structure.values()))
