"""Arithmetic, curves, activations, choices and verdicts against PyTorch, autograd and differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.rules.registry import bind_arguments, canonical_name, find_rule, is_in_place
from tests.core.rules.draws import Draws
from tests.core.rules.oracle import assert_near, check, normal

T = torch.Tensor
QUICK = settings(max_examples=60, deadline=None)

ANYWHERE = (
    torch.neg, torch.abs,
    torch.sign, torch.square, torch.exp, torch.exp2, torch.expm1, torch.sin, torch.cos, torch.sinh,
    torch.cosh, torch.tanh, torch.atan, torch.asinh, torch.sinc, torch.erf, torch.erfc, torch.sigmoid, torch.deg2rad,
    torch.rad2deg, torch.nan_to_num, torch.positive, F.relu, F.relu6, F.gelu, F.silu, F.mish, F.softplus,
    F.logsigmoid, F.elu, F.selu, F.celu, F.hardtanh, F.hardswish, F.softsign, F.tanhshrink, F.softshrink, F.hardshrink,
)  # fmt: skip
POSITIVE = (
    torch.sqrt, torch.rsqrt, torch.reciprocal, torch.log, torch.log2, torch.log10, torch.log1p, torch.lgamma,
    torch.digamma,
)[:-1]  # fmt: skip
INSIDE = (torch.logit, torch.asin, torch.acos, torch.atanh)
STEPS = (torch.floor, torch.ceil, torch.round, torch.trunc, torch.frac)
EXACT = (torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum, torch.fmax, torch.fmin)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_curves_on_all_numbers(data: st.DataObject) -> None:
    draw = Draws(data)
    check(draw.one(ANYWHERE), draw.tensor(*draw.shape()))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_curves_on_their_domain(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    if draw.yes():
        check(draw.one(POSITIVE), draw.tensor(*draw.shape(), low=0.1))
    else:
        x = (torch.rand(draw.shape(), dtype=torch.float64) * 0.8 + 0.1).to(draw.dtype).requires_grad_()
        check(draw.one(INSIDE), x)
    check(torch.acosh, draw.tensor(*draw.shape(), low=1.1))


@QUICK
@given(st.data())
def test_steps_are_exact(data: st.DataObject) -> None:
    draw = Draws(data)
    check(draw.one(STEPS), draw.tensor(*draw.shape()), exact=True, smooth=False)


@settings(max_examples=160, deadline=None)
@given(st.data())
def test_broadcast_arithmetic_is_exact(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    shape = draw.shape()
    check(draw.one(EXACT), draw.tensor(*shape), draw.tensor(*draw.narrower(shape), low=0.2), exact=True)


@settings(max_examples=160, deadline=None)
@given(st.data())
def test_other_arithmetic(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    shape = draw.shape()
    a, b, c = draw.tensor(*shape), draw.tensor(*draw.narrower(shape)), draw.tensor(*shape, low=0.3)
    calls = (
        lambda: check(torch.add, a, b, alpha=0.5),
        lambda: check(torch.sub, other=b, alpha=2, input=a),
        lambda: check(torch.pow, c, b),
        lambda: check(torch.pow, a, draw.one((0, 1, 2, 3))),
        lambda: check(torch.pow, c, draw.one((-2, -0.5, 0.5, 1.5, 2.5))),
        lambda: check(torch.lerp, a, c, draw.tensor(*shape)),
        lambda: check(torch.addcmul, a, c, b, value=2),
        lambda: check(torch.addcdiv, a, b, c, value=-1),
        lambda: check(torch.atan2, a, c),
        lambda: check(torch.logaddexp, a, b),
        lambda: check(torch.xlogy, a, c),
        lambda: check(torch.clamp, a, -0.5, 0.7),
        lambda: check(torch.clamp, a, min=b),
        lambda: check(torch.clamp, a, max=c),
        lambda: check(torch.where, torch.rand(shape) > 0.5, a, b),
        lambda: check(T.masked_fill, a, torch.rand(shape) > 0.5, 2.0),
        lambda: check(torch.remainder, a, 0.7, smooth=False),
        lambda: check(torch.fmod, a, 0.7, smooth=False),
        lambda: check(torch.div, a, c, rounding_mode=draw.one(("floor", "trunc")), smooth=False),
        lambda: check(F.prelu, draw.tensor(2, 3, 2), draw.tensor(3)),
        lambda: check(F.threshold, a, 0.3, -1.0),
        # PyTorch computes the slopes of these three with constants in float32, also for float64 tensors.
        lambda: check(F.hardsigmoid, a, roundings=1e8),
        lambda: check(F.rrelu, a, roundings=1e8),
        lambda: check(F.leaky_relu, a, 0.2, roundings=1e8),
    )
    draw.one(calls)()


@QUICK
@given(st.data())
def test_verdicts(data: st.DataObject) -> None:
    draw = Draws(data)
    shape = draw.shape()
    a = draw.tensor(*shape).detach().round()
    check(
        draw.one((torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge)), a, draw.one((0, a.roll(1))), exact=True
    )
    check(draw.one((torch.logical_and, torch.logical_or, torch.logical_xor)), a, a.flip(0) if a.ndim else a, exact=True)
    check(draw.one((torch.isnan, torch.isinf, torch.isfinite, torch.logical_not)), a / a.roll(1), exact=True)


def test_every_way_of_writing_an_operation_is_one_operation() -> None:
    x, y = normal(3), normal(3)
    ways = [
        (torch.add, (x, y), {}),
        (T.add, (x,), {"other": y}),
        (T.add_, (x, y), {}),
        (T.__add__, (x, y), {}),
        (T.__iadd__, (x, y), {}),
        (T.__radd__, (y, x), {}),
        (torch.add, (), {"other": y, "input": x}),
    ]
    for function, args, kwargs in ways:
        bound = bind_arguments(function, args, kwargs)
        assert canonical_name(function) == "add"
        assert bound["input"] is x, function
        assert bound["other"] is y, function
        assert bound["alpha"] == 1
    assert is_in_place(T.add_, {})
    assert is_in_place(F.relu, {"inplace": True})
    assert not is_in_place(torch.add, {})


@pytest.mark.parametrize("function", [T.__rsub__, T.__rpow__, T.__rtruediv__])
def test_reflected_operators_put_their_operands_in_order(function: object) -> None:
    x = normal(4, low=0.5)
    check(function, x, 2)
    assert bind_arguments(function, (x, 2))["input"] == 2


@pytest.mark.parametrize("call", [(T.add_, 2.0), (T.mul_, 3.0), (T.clamp_, 0.0), (T.sub_, 1.0), (T.div_, 2.0)])
def test_in_place_variants(call: tuple[object, float]) -> None:
    function, other = call
    x = normal(3, 2)
    bound = bind_arguments(function, (x, other))
    rule = find_rule(function, bound)
    assert rule is not None
    assert_near(rule.forward(bound)[0], function(x.detach().clone(), other), "in place")


def test_values_that_are_not_finite() -> None:
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, -0.0], dtype=torch.float64)
    for function in (*EXACT[:4], torch.maximum, torch.minimum, torch.fmax, torch.fmin):
        check(function, x, x.flip(0), exact=True)
    for function in (F.relu, torch.sigmoid, torch.tanh, torch.exp, F.softplus, torch.log, torch.sqrt):
        check(function, x)


def test_ties_are_shared() -> None:
    x, y = (
        torch.ones(2, dtype=torch.float64, requires_grad=True),
        torch.ones(2, dtype=torch.float64, requires_grad=True),
    )
    check(torch.maximum, x, y, smooth=False)
    check(torch.amax, torch.ones(4, dtype=torch.float64, requires_grad=True), 0, smooth=False)
