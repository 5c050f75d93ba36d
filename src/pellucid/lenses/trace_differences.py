"""Spot checks of our derivatives by central differences of the framework's own functions, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.tape_values import Value
from pellucid.core.rules.base import lookup
from pellucid.lenses.trace_calls import Call, substitute
from pellucid.results.trace_check import CheckedStep

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
        and not call.rule.random
        and call.step.rng_state is None
        and not call.step.in_place
        and not call.step.written
        and not call.step.identity
        and any(one is not None for one in call.gradients)
    )


def _check(call: Call, draw: np.random.Generator) -> CheckedStep | None:
    """The derivative of Σ upstream·output by one entry, by our rule and by differences of torch's own function."""
    wide = {value.id: _wide(call.tape.read(value)) for value in call.addresses.values()}
    wide |= {value.id: _wide(call.tape.read(value)) for value in call.step.inputs}
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
    index = tuple(int(axis) for axis in torch.unravel_index(torch.tensor(place), wide[value.id].shape))
    upstream = [None if one is None else _wide(one) for one in call.gradients]
    try:
        ours = _by_rule(call, wide, upstream, value, index)
        steep, fine = (_difference(call, wide, upstream, value, index, size) for size in (_STEP, _STEP / 2))
    except (RuntimeError, TypeError, ValueError) as error:
        detail = f"cannot run in float64: {str(error).splitlines()[0][:80]}"
        return _row(call, "not comparable", math.nan, math.nan, detail)
    error = abs(ours - fine)
    bound = 4 * abs(steep - fine) + 1e-7 * abs(ours) + 1e-9 * _size(call, upstream)
    where = f"by {address}{list(index)}: {ours:.8g} and {fine:.8g}"
    if error > bound and _is_kink(call, wide, upstream, value, index):
        return _row(call, "not comparable", math.nan, math.nan, f"a kink lies {where}")
    return _row(call, "within bound" if error <= bound else "disagrees", error, bound, where)


def _row(call: Call, verdict: str, error: float, bound: float, detail: str) -> CheckedStep:
    step = call.step
    return CheckedStep(step.index, step.op, step.module, "central differences", verdict, error, bound, detail)  # type: ignore[arg-type]  # verdicts are among the literals


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().double() if tensor.dtype.is_floating_point else tensor.detach()


def _by_rule(
    call: Call, wide: dict[int, Tensor], upstream: list[Tensor | None], value: Value, index: tuple[int, ...]
) -> float:
    """Our derivative in float64; a value that is given as several arguments adds up."""
    assert call.rule is not None
    arguments = substitute(call.values, lambda one: wide[one.id])
    outputs = _run(call, wide)
    shares = call.rule.backward(arguments, outputs, upstream)
    found = [shares[address] for address, one in call.addresses.items() if one is value and address in shares]
    return sum(float(share[index]) for share in found) if found else float(lookup(arguments, "input").new_zeros(()))


def _run(call: Call, wide: dict[int, Tensor]) -> tuple[Tensor, ...]:
    """Torch's own function on float64 numbers."""
    assert call.step.callable is not None
    with torch.no_grad():
        result = call.step.callable(
            *substitute(call.step.given, lambda one: wide[one.id].clone()),
            **substitute(call.step.keywords, lambda one: wide[one.id].clone()),
        )
    return (result,) if isinstance(result, Tensor) else tuple(_tensors(result))


def _tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in _tensors(item)] if isinstance(result, list | tuple) else []


def _total(call: Call, wide: dict[int, Tensor], upstream: list[Tensor | None]) -> float:
    made = _run(call, wide)
    return math.fsum(
        float((grad * out).sum()) for grad, out in zip(upstream, made, strict=False) if grad is not None
    )


def _moved(
    call: Call, wide: dict[int, Tensor], upstream: list[Tensor | None], value: Value, index: tuple[int, ...], by: float
) -> float:
    moved = wide[value.id].clone()
    moved[index] += by
    return _total(call, wide | {value.id: moved}, upstream)


def _difference(
    call: Call, wide: dict[int, Tensor], upstream: list[Tensor | None], value: Value, index: tuple[int, ...], size: float
) -> float:
    size *= max(1.0, abs(float(wide[value.id][index])))
    return (_moved(call, wide, upstream, value, index, size) - _moved(call, wide, upstream, value, index, -size)) / (
        2 * size
    )


def _is_kink(
    call: Call, wide: dict[int, Tensor], upstream: list[Tensor | None], value: Value, index: tuple[int, ...]
) -> bool:
    """Whether the slopes to the left and to the right differ: then no derivative is right."""
    size = _STEP * max(1.0, abs(float(wide[value.id][index])))
    here = _total(call, wide, upstream)
    right = (_moved(call, wide, upstream, value, index, size) - here) / size
    left = (here - _moved(call, wide, upstream, value, index, -size)) / size
    return abs(right - left) > 1e-3 * max(1e-6, abs(right), abs(left))


def _size(call: Call, upstream: list[Tensor | None]) -> float:
    """How large the terms of the differenced sum are; its rounding, divided by the step, is about 4e-11 of this."""
    pairs = zip(upstream, call.outputs, strict=False)
    return math.fsum(float((grad * out).abs().sum()) for grad, out in pairs if grad is not None)
