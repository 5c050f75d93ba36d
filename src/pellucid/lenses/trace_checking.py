"""The proof behind a trace: forward, backward and update recomputed by our rules and compared, step by step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.capture.tape_values import Value
from pellucid.core.rules.sums import Sum
from pellucid.lenses.trace_calls import Call, Calls
from pellucid.lenses.trace_differences import check_differences
from pellucid.lenses.trace_gradients import Use, uses_of
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_updates import check_updates
from pellucid.results.trace_check import CheckedStep, Oracle, TraceCheck, Verdict

__all__ = ["check_trace", "compare"]

Comparison = tuple[Verdict, float, float, str]
"""Verdict, worst error, its bound, and where."""

_BOUND = (
    "Bound: at the entry with the largest error, and at the one with the largest error beside its own size, the sum of "
    "n terms, computed in any order, is off by at most γ·Σ|terms| with γ = k·u/(1 − k·u), k = n + 8 roundings and u "
    "the unit roundoff of the number format (Higham 2002, section 3.1); both computations may be off by that much. "
    "Where more cancels inside an operation than an entry's terms show (normalisations, softmax, recurrent layers), "
    "the tensor's largest entry sets the scale (marked normwise). Central differences are bounded by what halving "
    "their step shows of their own error."
)


def check_trace(calls: Calls, names: Names, model: str, *, differences: int, seed: int) -> TraceCheck:
    """Compare every step with every oracle.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        model: The class name of the traced module.
        differences: How many steps are also checked by central differences.
        seed: Of the choice of their entries.
    """
    tape = calls.tape
    every = [calls.of(step.index) for step in tape.steps]
    checks = [_check_forward(call) for call in every]
    if tape.loss is not None:
        checks += [check for value in tape.values if (check := _check_backward(calls, names, value)) is not None]
        checks += check_differences(every, differences, seed)
    checks += check_updates(calls)
    opaque = Counter(call.step.op for call in every if call.opaque)
    return TraceCheck(
        model=model,
        checks=tuple(checks),
        steps=len(every),
        opaque=tuple(name for name, _ in opaque.most_common()),
        opaque_steps=sum(opaque.values()),
        bound=_BOUND,
        agrees=not any(check.verdict == "disagrees" for check in checks),
    )


def compare(
    found: Tensor,
    expected: Tensor,
    terms_at: Callable[[tuple[int, ...]], Sum],
    *,
    cancels: bool = False,
    times: int = 1,
) -> Comparison:
    """Verdict, worst error, its bound and its place.

    Two entries are held to their bounds: the one with the largest error, and the one whose error is largest beside its
    own size, so that a small entry that is wrong does not hide behind the rounding of a large one.

    Args:
        found: Our number.
        expected: The framework's.
        terms_at: The terms of one entry, whose count and size give the bound.
        cancels: Whether more cancels inside the operation than an entry's terms show; the tensor's largest entry then
            sets the scale.
        times: How many operations were added up.
    """
    if found.shape != expected.shape:
        return "disagrees", math.inf, 0.0, f"shape {tuple(found.shape)}, not {tuple(expected.shape)}"
    if torch.equal(found, expected) or not expected.numel():
        return "bit-equal", 0.0, 0.0, ""
    ours, theirs = found.detach().double(), expected.detach().double()
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    error = torch.where(same, torch.zeros_like(ours), torch.nan_to_num((ours - theirs).abs(), nan=math.inf))
    if not bool(error.any()):
        return "bit-equal", 0.0, 0.0, ""
    beside = torch.where(same, torch.zeros_like(ours), error / theirs.abs().clamp(min=1e-300))
    places = {_place(error): None, _place(torch.nan_to_num(beside, nan=0.0)): None}
    judged = []
    for index in places:
        worst = float(error[index])
        bound, where = 0.0, f"at {index}"
        if expected.dtype.is_floating_point:
            bound = times * _bound(terms_at(index), float(theirs[index]), expected)
            where += f": {float(ours[index]):.8g} and {float(theirs[index]):.8g}"
        if worst > bound and cancels and expected.dtype.is_floating_point:
            largest = _place(torch.nan_to_num(theirs, nan=0.0).abs())
            bound = max(bound, times * _bound(terms_at(largest), float(theirs[largest]), expected))
            where += ", normwise"
        verdict: Verdict = "within bound" if worst <= bound else "disagrees"
        judged.append((verdict, worst, bound, where))
    return max(judged, key=lambda one: (one[0] == "disagrees", one[1] / one[2] if one[2] else one[1]))


def _place(size: Tensor) -> tuple[int, ...]:
    """Where the largest number stands."""
    return tuple(int(axis) for axis in torch.unravel_index(size.argmax(), size.shape))


def _bound(total: Sum, value: float, expected: Tensor) -> float:
    """Twice the rounding of a sum of so many terms, in the format of the numbers compared."""
    unit = torch.finfo(expected.dtype).eps / 2
    rounds = (len(total.terms) + 8) * unit
    gamma = rounds / (1 - rounds) if rounds < 0.5 else 1.0
    size = float(total.terms.values.abs().sum()) + total.inside
    # What a function makes of the sum: its error is that of the sum where the slope is at most 1, else in proportion.
    grown = max(1.0, abs(total.result / total.value)) if total.then and total.value else 1.0
    smallest = float(torch.finfo(expected.dtype).tiny)
    return 2 * gamma * (size * grown + abs(value)) + smallest


def _checked(call: Call, oracle: Oracle, found: Comparison) -> CheckedStep:
    return CheckedStep(call.step.index, call.step.op, call.step.module, oracle, *found)


def _check_forward(call: Call) -> CheckedStep:
    """One step's outputs, from the definition."""
    nan = math.nan
    if call.step.identity:
        return _checked(call, "forward replay", ("bit-equal", 0.0, 0.0, ""))
    rule = call.rule
    if rule is None:
        return _checked(call, "forward replay", ("opaque", nan, nan, f"no rule for {call.step.function}"))
    if call.step.autocast is not None:
        why = f"mixed precision rounds its inputs to {call.step.autocast}"
        return _checked(call, "forward replay", ("not comparable", nan, nan, why))
    found = rule.forward(call.arguments, call.outputs)
    worst: Comparison = ("bit-equal", 0.0, 0.0, "")
    for place, (ours, theirs) in enumerate(zip(found, call.outputs, strict=False)):
        one = compare(
            ours,
            theirs,
            lambda index, at=place: rule.entry(call.arguments, call.outputs, index, at),
            cancels=rule.cancels,
        )
        worst = max(worst, one, key=_severity)
    return _checked(call, "forward replay", worst)


def _severity(one: Comparison) -> tuple[int, float]:
    return ("bit-equal", "within bound", "disagrees").index(one[0]), one[1]


def _check_backward(calls: Calls, names: Names, value: Value) -> CheckedStep | None:
    """One value's gradient: what its readers hand back by our rules, summed, against autograd's."""
    if value.gradient is None or value is calls.tape.loss:
        return None
    uses = uses_of(calls, value)
    if not uses:
        return None
    unseen = _unseen(names.of(value), value, uses)
    if unseen is not None:
        return unseen
    total: Tensor | None = None
    for use in uses:
        shares = _shares(use.call)
        if use.argument in shares:
            share = shares[use.argument]
            total = share if total is None else total + share
    if total is None:
        total = torch.zeros_like(value.gradient)

    def terms(index: tuple[int, ...]) -> Sum:
        sums = [one for use in uses if (one := use.paths(index)) is not None]
        return max(sums, key=lambda one: float(one.terms.values.abs().sum()))

    cancels = any(use.call.rule is not None and use.call.rule.cancels for use in uses)
    verdict, error, bound, detail = compare(total, value.gradient, terms, cancels=cancels, times=len(uses))
    where = detail and f"∂L/∂{names.of(value)} {detail}"
    return _checked(uses[0].call, "backward against autograd", (verdict, error, bound, where))


def _unseen(name: str, value: Value, uses: list[Use]) -> CheckedStep | None:
    """Why a gradient cannot be compared, if it cannot."""
    nan = math.nan
    opaque = next((use.call for use in uses if use.call.rule is None), None)
    if opaque is not None:
        where = f"{name} goes into {opaque.place}, which has no rule"
        return _checked(opaque, "backward against autograd", ("opaque", nan, nan, where))
    why = f"a hook of your own changes the gradient of {name}" if value.hooked else ""
    if any(use.call.step.autocast is not None for use in uses):
        why = "mixed precision"
    return _checked(uses[0].call, "backward against autograd", ("not comparable", nan, nan, why)) if why else None


def _shares(call: Call) -> dict[str, Tensor]:
    """What a step hands back to each of its arguments."""
    assert call.rule is not None
    if not call.rule.differentiable:
        return {}
    cached = call.__dict__.get("_shares")
    if cached is None:
        cached = call.__dict__["_shares"] = call.rule.backward(call.arguments, call.outputs, call.gradients)
    return cached
