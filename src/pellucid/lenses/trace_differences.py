"""Spot checks of our derivatives by central differences of the framework's own functions, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.tape_replay import drawing_again
from pellucid.capture.tape_values import Value
from pellucid.lenses.trace_calls import Call, substitute
from pellucid.results.trace_check import CheckedStep, Verdict

__all__ = ["check_differences"]

_STEP = 6e-6
"""About the cube root of float64's precision, where truncation and rounding of a central difference balance."""


def check_differences(calls: Sequence[Call], most: int, seed: int) -> list[CheckedStep]:
    """One entry of one argument of the first step of each kind, then of further steps until there are enough.

    Args:
        calls: The calls of the tape.
        most: How many steps are checked.
        seed: Of the choice of entries.
    """
    draw = np.random.default_rng(seed)
    able = [call for call in calls if _is_able(call)]
    kinds: dict[str, Call] = {}
    for call in able:
        kinds.setdefault(call.step.op, call)
    chosen = [*kinds.values(), *(call for call in able if call not in kinds.values())][:most]
    return [check for call in chosen if (check := _check(call, draw)) is not None]


def _is_able(call: Call) -> bool:
    """Whether the step can be run again with other numbers, and a gradient arrives at it."""
    return (
        call.rule is not None
        and call.rule.differentiable
        and (not call.rule.random or call.step.rng_state is not None)
        and not call.step.in_place
        and not call.step.written
        and not call.step.identity
        and any(one is not None for one in call.gradients)
    )


@dataclass(frozen=True)
class _Probe:
    """The sum Σ upstream·output of one step as a function of one entry of one value, in float64."""

    call: Call
    numbers: dict[int, Tensor]
    upstream: list[Tensor | None]
    value: Value
    index: tuple[int, ...]

    def outputs(self, moved: dict[int, Tensor]) -> tuple[Tensor, ...]:
        """Torch's own function on float64 numbers."""
        step = self.call.step
        assert step.callable is not None
        with torch.no_grad(), drawing_again(step):
            result = step.callable(
                *substitute(step.given, lambda one: moved[one.id].clone()),
                **substitute(step.keywords, lambda one: moved[one.id].clone()),
            )
        return tuple(_tensors(result))

    def at(self, by: float) -> float:
        """The sum with the entry moved."""
        moved = self.numbers[self.value.id].clone()
        moved[self.index] += by
        made = self.outputs(self.numbers | {self.value.id: moved})
        pairs = zip(self.upstream, made, strict=False)
        return math.fsum(float((grad * out).sum()) for grad, out in pairs if grad is not None)

    @property
    def scale(self) -> float:
        """The entry's own size, at least 1."""
        return max(1.0, abs(float(self.numbers[self.value.id][self.index])))

    def slope(self, size: float) -> float:
        """The central difference."""
        size *= self.scale
        return (self.at(size) - self.at(-size)) / (2 * size)

    def is_kink(self) -> bool:
        """Whether the slopes to the left and to the right differ: then no derivative is right."""
        size = _STEP * self.scale
        here = self.at(0.0)
        right, left = (self.at(size) - here) / size, (here - self.at(-size)) / size
        return abs(right - left) > 1e-3 * max(1e-6, abs(right), abs(left))

    def by_rule(self) -> float:
        """Our derivative; a value that is given as several arguments adds up."""
        rule = self.call.rule
        assert rule is not None
        drawn = {name: item for name, item in self.call.arguments.items() if name not in self.call.values}
        arguments = {**substitute(self.call.values, lambda one: self.numbers[one.id]), **drawn}
        shares = rule.backward(arguments, self.outputs(self.numbers), self.upstream)
        return math.fsum(
            float(shares[address][self.index])
            for address, one in self.call.addresses.items()
            if one is self.value and address in shares
        )


def _check(call: Call, draw: np.random.Generator) -> CheckedStep | None:
    """The derivative of Σ upstream·output by one entry, by our rule and by differences of torch's own function."""
    tape = call.tape
    wide = {value.id: _wide(tape.read(value)) for value in (*call.addresses.values(), *call.step.inputs)}
    addresses = [
        address
        for address, value in call.addresses.items()
        if value.dtype.is_floating_point and value.gradient is not None and wide[value.id].numel()
    ]
    if not addresses:
        return None
    address = addresses[int(draw.integers(len(addresses)))]
    value = call.addresses[address]
    place = int(draw.integers(wide[value.id].numel()))
    index = tuple(int(axis) for axis in np.unravel_index(place, tuple(value.shape)))
    upstream = [None if one is None else _wide(one) for one in call.gradients]
    probe = _Probe(call, wide, upstream, value, index)
    try:
        ours, steep, fine = probe.by_rule(), probe.slope(_STEP), probe.slope(_STEP / 2)
    except (RuntimeError, TypeError, ValueError) as error:
        detail = f"cannot run in float64: {str(error).splitlines()[0][:80]}"
        return _row(call, ("not comparable", math.nan, math.nan, detail))
    if not math.isfinite(fine):
        return _row(call, ("not comparable", math.nan, math.nan, "the numbers around it are not finite"))
    error = abs(ours - fine)
    bound = 4 * abs(steep - fine) + 1e-7 * abs(ours) + 1e-9 * _size(call, upstream)
    where = f"by {address}{list(index)}: {ours:.8g} and {fine:.8g}"
    if error > bound and probe.is_kink():
        return _row(call, ("not comparable", math.nan, math.nan, f"a kink lies {where}"))
    return _row(call, ("within bound" if error <= bound else "disagrees", error, bound, where))


def _row(call: Call, found: tuple[Verdict, float, float, str]) -> CheckedStep:
    step = call.step
    return CheckedStep(step.index, step.op, step.module, "central differences", *found)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().double() if tensor.dtype.is_floating_point else tensor.detach()


def _tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in _tensors(item)] if isinstance(result, list | tuple) else []


def _size(call: Call, upstream: list[Tensor | None]) -> float:
    """How large the terms of the differenced sum are; its rounding, divided by the step, is about 4e-11 of this."""
    pairs = zip(upstream, call.outputs, strict=False)
    return math.fsum(float((grad * out).abs().sum()) for grad, out in pairs if grad is not None)
