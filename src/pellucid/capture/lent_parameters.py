"""Running a model with other parameters than its own, which stay where they are.

``torch.func.functional_call`` alone does not put a shared module's parameters back: it swaps one under each of the
module's names, and what it puts back last is no parameter. Here every place is named once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["call_with", "places_of"]

Places = Mapping[str, tuple[str, ...]]
"""Each parameter or buffer by its first name, with every name under which a different module holds it."""


def places_of(model: nn.Module) -> Places:
    """Where a model holds its parameters and buffers.

    >>> model = nn.Sequential(first := nn.Linear(2, 2), nn.Linear(2, 2), first)
    >>> model[1].bias = first.bias
    >>> dict(places_of(model))
    {'0.weight': ('0.weight',), '0.bias': ('0.bias', '1.bias'), '1.weight': ('1.weight',)}
    """
    found: dict[int, list[str]] = {}
    for prefix, module in model.named_modules():
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, value in own:
            found.setdefault(id(value), []).append(f"{prefix}.{name}" if prefix else name)
    return {names[0]: tuple(names) for names in found.values()}


def call_with(model: nn.Module, places: Places, tensors: Mapping[str, Tensor], x: Tensor) -> Any:
    """The model's output with these tensors, by first name, in all of their places."""
    spread = {place: value for name, value in tensors.items() for place in places[name]}
    return functional_call(model, spread, (x,), tie_weights=False)
