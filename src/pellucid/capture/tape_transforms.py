"""What runs inside ``torch.func`` (vmap, grad, jvp): the tensors there stand for many and cannot be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch._C import _functorch  # type: ignore[attr-defined]  # torch has no stubs for it

from pellucid.capture.tape_values import Value

__all__ = ["TransformWatch"]

_innermost = _functorch.peek_interpreter_stack


class TransformWatch:
    """Notes from which recorded values a transform read, since the recorder only sees its result.

    Attributes:
        name: The transform that ran last: "vmap", "grad"; "" if none did.
    """

    def __init__(self, find: Callable[[Tensor], Value | None]) -> None:
        self.name = ""
        self._find = find
        self._sources: dict[int, Value] = {}
        self._ended = True

    def is_inside(self, args: Any, kwargs: Any) -> bool:
        """Whether a call runs inside a transform; its tensors that come from outside are noted."""
        level = _innermost()
        if level is None:
            self._ended = True
            return False
        if self._ended:
            self._ended, self._sources = False, {}
            self.name = level.key().name.lower()
        for tensor in _tensors((args, kwargs)):
            value = self._find(_outermost(tensor))
            if value is not None:
                self._sources[value.id] = value
        return True

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
