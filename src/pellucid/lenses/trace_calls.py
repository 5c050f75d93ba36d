"""A traced step with its rule and its numbers at hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pellucid.capture.tape import Tape
from pellucid.capture.tape_replay import drawing_again
from pellucid.capture.tape_values import Step, Value
from pellucid.core.rules.base import Rule, flatten_arguments
from pellucid.core.rules.drawing import drawn_numbers
from pellucid.core.rules.registry import bind_arguments, find_rule

__all__ = ["Call", "Calls", "substitute"]


@dataclass(eq=False)
class Call:
    """One step, its arguments by name (as values of the tape), and the rule that explains it."""

    tape: Tape
    step: Step

    @cached_property
    def values(self) -> dict[str, Any]:
        """The arguments by torch's names; tensors stand as values of the tape."""
        if self.step.callable is None:
            return dict(self.step.arguments)
        keywords = {name: item for name, item in self.step.keywords.items() if name != "out"}
        return bind_arguments(self.step.callable, self.step.given, keywords)

    @cached_property
    def addresses(self) -> dict[str, Value]:
        """The values among the arguments by their address, ``input`` or ``tensors[2]``."""
        found: dict[str, Value] = {}
        for name, value in self.values.items():
            items = [(f"{name}[{i}]", item) for i, item in enumerate(value)] if isinstance(value, list | tuple) else []
            found.update({key: item for key, item in [(name, value), *items] if isinstance(item, Value)})
        return found

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The same with the tensors' numbers, and with what a random operation drew."""
        given = substitute(self.values, self.tape.read)
        if self.step.rng_state is None or self.step.callable is None:
            return given
        with drawing_again(self.step):
            return {**given, **drawn_numbers(self.step.callable, given)}

    @cached_property
    def rule(self) -> Rule | None:
        """The rule that covers the call, if there is one; ours are for real numbers laid out densely."""
        if self.step.callable is None or any(not _is_plain(one) for one in (*self.addresses.values(), *self.made)):
            return None
        found = find_rule(self.step.callable, self.arguments)
        return found if found is not None or not _is_known(self.step.op) else find_rule(self.step.op, self.arguments)

    @cached_property
    def made(self) -> tuple[Value, ...]:
        """The values that it made, an overwritten one included."""
        return self.step.outputs

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Their numbers."""
        return tuple(self.tape.read(value) for value in self.made)

    @cached_property
    def gradients(self) -> tuple[Tensor | None, ...]:
        """The loss's gradient by each of them."""
        return tuple(value.gradient for value in self.made)

    @property
    def opaque(self) -> bool:
        """Whether nothing explains it."""
        return self.rule is None and not self.step.identity

    @property
    def place(self) -> str:
        """Where it ran, in words: ``step 3 (linear in fc1)``."""
        inside = f" in {self.step.module}" if self.step.module else " in the loss" if self.step.phase == "loss" else ""
        return f"step {self.step.index} ({self.step.op}{inside})"

    def tensors(self) -> dict[str, Any]:
        """The arguments with sequences opened."""
        return flatten_arguments(self.arguments)


class Calls:
    """The calls of a tape, each made once."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self._made: dict[int, Call] = {}

    def of(self, index: int) -> Call:
        """The call of one step."""
        if index not in self._made:
            self._made[index] = Call(self.tape, self.tape.steps[index])
        return self._made[index]


def substitute(structure: Any, read: Any) -> Any:
    """A structure of arguments with every value of the tape replaced by what ``read`` makes of it."""
    if isinstance(structure, Value):
        return read(structure)
    if isinstance(structure, list | tuple):
        return type(structure)(substitute(item, read) for item in structure)
    if isinstance(structure, dict):
        return {key: substitute(item, read) for key, item in structure.items()}
    if isinstance(structure, slice):
        return slice(*(substitute(item, read) for item in (structure.start, structure.stop, structure.step)))
    return structure


def _is_plain(value: Value) -> bool:
    return not value.dtype.is_complex and (value.tensor is None or value.tensor.layout is torch.strided)


def _is_known(name: str) -> bool:
    return find_rule(name) is not None
