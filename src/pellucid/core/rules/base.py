"""What a rule is: an operation's formula, its value, its derivative, and the terms behind any one number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.rules.sums import Index, Sum

__all__ = ["Arguments", "Gradients", "Rule", "flatten_arguments", "lookup", "upstream"]

Arguments = Mapping[str, Any]
"""A bound call: torch's parameter names to tensors, constants and nested sequences of them."""

Gradients = Sequence[Tensor | None]
"""The gradient of the loss by each output; None where none arrives."""


class Rule(ABC):
    """One operation, written out.

    ``forward`` is our own arithmetic from the definition and never calls the operation it explains (additions,
    products, exponentials … are taken as given); ``backward`` is the vector-Jacobian product written out.
    An argument that is a sequence of tensors is addressed entry by entry: ``tensors[0]``, ``params[3]``.
    """

    names: tuple[str, ...] = ()
    """Canonical names of the operations that the rule covers."""
    signature: str = "input"
    """The parameters as torch documents them, for functions that carry no signature: ``input, other, *, alpha=1``.
    Alternatives stand between `` | ``, those of single names behind them: ``mv: input, vec``."""
    formula: str = ""
    """The definition, in LaTeX."""
    derivative: str = ""
    """The local derivative, in LaTeX."""
    differentiable: bool = True
    """Whether a gradient passes; ``backward`` of the others returns an empty dict."""
    cancels: bool = False
    """Whether more cancels inside than the terms of an entry show (a mean taken away from every number, scores taken
    from their largest): the check then lets the tensor's largest entry set the scale of rounding."""
    random: bool = False
    """Whether the outputs depend on drawn numbers; ``forward`` then needs the observed outputs."""

    def applies(self, args: Arguments) -> bool:
        """Whether the rule covers this call."""
        return True

    def fits(self, args: Arguments) -> bool:
        """Whether the arguments are bound as the rule expects them, even if something that was drawn is missing."""
        return self.applies(args)

    @abstractmethod
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """The outputs, from the definition.

        Args:
            args: The bound call; for an in-place operation with the values before it.
            outputs: The observed outputs, from which random operations read what was drawn.
        """

    @abstractmethod
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        """The gradient of the loss by each floating-point tensor argument, given those by the outputs."""

    @abstractmethod
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        """How one entry of an output comes about."""

    @abstractmethod
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        """The chain rule for one entry of an argument: a term for each path, upstream gradient × local derivative."""

    def intermediates(self, args: Arguments) -> dict[str, Tensor]:
        """What the operation computes on the way, by name: attention's scores and weights, an LSTM's gates."""
        return {}

    def intermediate_entry(self, args: Arguments, name: str, index: Index) -> Sum:
        """How one entry of an intermediate quantity comes about."""
        raise KeyError(name)


def upstream(outputs: Sequence[Tensor], grads: Gradients, output: int = 0) -> Tensor:
    """The gradient by one output, zeros where none arrives."""
    grad = grads[output] if output < len(grads) else None
    return torch.zeros_like(outputs[output]) if grad is None else grad


def flatten_arguments(args: Arguments) -> dict[str, Any]:
    """The arguments with sequences that hold tensors opened: ``tensors`` becomes ``tensors[0]``, ``tensors[1]`` …"""
    flat: dict[str, Any] = {}
    for name, value in args.items():
        if isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value):
            flat.update({f"{name}[{i}]": v for i, v in enumerate(value)})
        else:
            flat[name] = value
    return flat


def lookup(args: Arguments, argument: str) -> Any:
    """The argument's value by its address, ``input`` or ``tensors[2]``."""
    if argument in args:
        return args[argument]
    name, _, place = argument.rstrip("]").rpartition("[")
    return args[name][int(place)]
