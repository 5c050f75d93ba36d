"""Which rule explains which torch function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from pellucid.core.rules.base import Arguments, Rule
from pellucid.core.rules.signatures import bind, canonical_name, is_in_place

__all__ = ["bind_arguments", "canonical_name", "find_rule", "is_in_place", "rule_names"]

FAMILIES = (
    "linear",
    "arithmetic",
    "choices",
    "curves",
    "activations",
    "shaping",
    "selection",
    "placement",
    "joining",
    "rearrangement",
    "padding",
    "reductions",
    "running",
    "along_axis",
    "extremes",
    "paired",
    "gathered_sums",
    "grouped",
    "found_values",
    "softmax",
    "losses",
    "class_losses",
    "margin_losses",
    "convolution",
    "pooling",
    "normalization",
    "dropout",
    "embedding",
    "distances",
    "attention",
    "ranking",
    "recurrent",
    "verdicts",
)
"""The modules of the rules; each names its rules in ``RULES``. Of several rules for a name the first that applies."""


@cache
def _table() -> dict[str, tuple[Rule, ...]]:
    """Every canonical name with its rules."""
    table: dict[str, tuple[Rule, ...]] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"pellucid.core.rules.{family}")
        for rule in module.RULES:
            for name in rule.names:
                table[name] = (*table.get(name, ()), rule)
    return table


def rule_names() -> tuple[str, ...]:
    """The canonical names of all operations that have a rule, sorted."""
    return tuple(sorted(_table()))


def bind_arguments(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A call's arguments under torch's parameter names, defaults filled in (see ``signatures.bind``).

    >>> import torch
    >>> bind_arguments(torch.Tensor.__rsub__, (torch.tensor(1.0), 2))["input"]
    2
    """
    first: dict[str, Any] | None = None
    for rule, text in _written(canonical_name(function)):
        bound = bind(function, args, kwargs, (text,))
        first = bound if first is None or "argument_0" in first else first
        if "argument_0" not in bound and rule.fits(bound):
            return bound
    return bind(function, args, kwargs) if first is None else first


@cache
def _written(name: str) -> tuple[tuple[Rule, str], ...]:
    """The signatures written for a name, each with its rule: of one rule those that name it before a colon first."""
    found: list[tuple[Rule, str]] = []
    for rule in _table().get(name, ()):
        texts = [text.rpartition(":") for text in rule.signature.split(" | ")]
        found += [(rule, parameters) for names, colon, parameters in texts if colon and name in names.split()]
        found += [(rule, parameters) for _, colon, parameters in texts if not colon]
    return tuple(found)


def find_rule(function: Callable[..., Any] | str, arguments: Arguments | None = None) -> Rule | None:
    """The rule of a torch function (or of a canonical name), if there is one that covers the call.

    Args:
        function: The function as a ``TorchFunctionMode`` reports it, or its canonical name.
        arguments: The bound call; None to ask about the operation in general.
    """
    for rule in _table().get(canonical_name(function), ()):
        if arguments is None or rule.applies(arguments):
            return rule
    return None
