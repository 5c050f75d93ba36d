"""Operations that give two reductions at once: mean and spread, smallest and largest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule
from pellucid.core.rules.extremes import Extreme
from pellucid.core.rules.reductions import Mean, StandardDeviation, Variance
from pellucid.core.rules.sums import Block, Index, Sum, column, constant, single

__all__ = ["RULES", "Pair"]


class Pair(Rule):
    """Two reductions of the same numbers; an entry's gradient is the sum of what comes back through both.

    Args:
        name: The canonical name.
        signature: The call's parameters.
        rules: The two, in the order of the outputs.
    """

    def __init__(self, name: str, signature: str, *rules: Rule) -> None:
        self.names, self.signature, self._rules = (name,), signature, rules
        self.formula = r",\quad ".join(rule.formula for rule in rules)
        self.derivative = rules[0].derivative
        self.cancels = any(rule.cancels for rule in rules)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        each = [None] * len(self._rules) if outputs is None else [[o] for o in outputs]
        return tuple(rule.forward(args, own)[0] for rule, own in zip(self._rules, each, strict=True))

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for rule, output, grad in zip(self._rules, outputs, grads, strict=True):
            if grad is not None:
                for name, share in rule.backward(args, [output], [grad]).items():
                    found[name] = found[name] + share if name in found else share
        return found

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return self._rules[output].entry(args, [outputs[output]], index)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        blocks: list[Block] = []
        for place, (rule, output, grad) in enumerate(zip(self._rules, outputs, grads, strict=True)):
            if grad is None:
                continue
            for term in rule.gradient_entry(args, [output], [grad], argument, index).terms:
                columns = [
                    constant(f.name, f.value) if f.index is None else column(f.name, f.index, float(f.value))
                    for f in term.factors
                ]
                columns[0] = column(f"grad[{place}]", term.factors[0].index, float(term.factors[0].value))
                blocks.append(single(f"through output {place}", *columns))
        return Sum.of(blocks)


_SPREAD = "input, dim=None, unbiased=None, keepdim=False, *, correction=None"

RULES: tuple[Rule, ...] = (
    Pair("var_mean", _SPREAD, Variance(), Mean()),
    Pair("std_mean", _SPREAD, StandardDeviation(), Mean()),
    Pair("aminmax", "input, *, dim=None, keepdim=False", Extreme("amin", largest=False), Extreme("amax", largest=True)),
)
