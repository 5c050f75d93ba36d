"""Reshapes, indexing, joining and padding: bit-equal."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.rules.registry import bind_arguments, find_rule
from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check, normal

T = torch.Tensor
exactly = partial(check, exact=True)


@settings(max_examples=260, deadline=None)
@given(st.data())
def test_shapes(data: st.DataObject) -> None:
    draw = Draws(data)
    a, b, c = draw.size(), draw.size(), draw.size()
    x, dim, other = draw.tensor(a, b, c), draw.one((-3, -2, -1, 0, 1, 2)), draw.one((0, 1, 2))
    size, step = draw.size(1, b), draw.size()
    calls = (
        lambda: exactly(T.view, x, a * b, -1),
        lambda: exactly(T.reshape, x, (c, -1)),
        lambda: exactly(torch.flatten, x, draw.one((0, 1)), draw.one((-1, -2 if other else -1))),
        lambda: exactly(T.permute, x, *draw.one(((0, 1, 2), (2, 0, 1), (-1, 0, 1)))),
        lambda: exactly(torch.transpose, x, dim, other),
        lambda: exactly(T.mT.__get__, x),
        lambda: exactly(torch.squeeze, x),
        lambda: exactly(T.squeeze, x, dim),
        lambda: exactly(T.unsqueeze, x, dim),
        lambda: exactly(T.expand, draw.tensor(a, 1, c), 2, -1, b, c),
        lambda: exactly(T.expand_as, draw.tensor(1, c), x),
        lambda: exactly(torch.select, x, dim, 0),
        lambda: exactly(torch.narrow, x, 1, b - size, size),
        lambda: exactly(torch.diagonal, x, draw.one((-1, 0, 1)) if min(b, c) > 1 else 0, 1, 2),
        lambda: exactly(T.unfold, x, 1, size, step),
        lambda: exactly(T.clone, x),
        lambda: exactly(T.contiguous, x.transpose(0, 1)),
        lambda: exactly(T.to, x, draw.one((torch.float32, torch.float64)), smooth=False),
        lambda: exactly(torch.movedim, x, 0, dim),
        lambda: exactly(torch.split, x, step, dim=dim),
        lambda: exactly(T.split, x, [size, b - size], 1),
        lambda: exactly(torch.chunk, x, step, dim),
        lambda: exactly(torch.unbind, x, dim),
        lambda: exactly(torch.tril, x, draw.one((-1, 0, 1))),
        lambda: exactly(torch.triu, x, draw.one((-1, 0, 1))),
        lambda: exactly(torch.cat, [x, draw.tensor(a, 2, c), draw.tensor(a, b, c)], 1),
        lambda: exactly(torch.stack, [x, draw.tensor(a, b, c)], dim=draw.one((-1, 0, 2))),
        lambda: exactly(torch.roll, x, step, dim),
        lambda: exactly(torch.flip, x, (dim,)),
        lambda: exactly(T.repeat, x, *draw.one(((1, 2, 1), (2, 1, 1, 3)))),
        lambda: exactly(torch.repeat_interleave, x, step, dim),
        lambda: exactly(F.pad, x, (draw.size(0), draw.size(0), 1, 0), value=draw.one((None, 2.0))),
        lambda: exactly(F.pad, x, (c - 1, c - 1), draw.one(("reflect", "replicate", "circular"))),
        lambda: exactly(F.interpolate, x, scale_factor=draw.one((1.5, 2, 0.7 if c > 1 else 1))),
    )
    draw.one(calls)()


@settings(max_examples=160, deadline=None)
@given(st.data())
def test_indexing(data: st.DataObject) -> None:
    draw = Draws(data)
    a, b, c = draw.size(2), draw.size(2), draw.size(2)
    x, n = draw.tensor(a, b, c), draw.size()
    i, j, k = (torch.randint(-size, size, (n,)) for size in (a, b, c))
    mask = torch.rand(a, b) > 0.3
    mask[0, 0] = True
    key = draw.one(
        (0, -1, (0, 1), (..., -1), (slice(None), None, slice(1, None)), (slice(None, None, 2), 0), i, (slice(None), j),
         (i, slice(None), k), (0, slice(None), k), (i[:, None], torch.randint(b, (1, 2))), mask,
         (slice(None), slice(0, 0)),
         (None, i), torch.tensor(1), (..., k), [0, 1], (i, j, k), (slice(None), mask[0]))
    )  # fmt: skip
    calls = (
        lambda: exactly(T.__getitem__, x, key),
        lambda: exactly(T.__getitem__, x, key),
        lambda: exactly(torch.gather, x, 1, torch.randint(b, (a, n, c))),
        lambda: exactly(torch.take_along_dim, x, torch.randint(b, (a, n, 1)), 1),
        lambda: exactly(torch.index_select, x, 2, k % c),
        lambda: exactly(torch.take, x, torch.randint(a * b * c, (n,))),
        lambda: exactly(torch.masked_select, x, torch.rand(a, b, c) > 0.3),
        lambda: check(torch.scatter_add, x, 0, torch.randint(a, (n, b, c)), draw.tensor(n, b, c)),
        lambda: exactly(
            torch.scatter,
            x,
            1,
            torch.stack([torch.randperm(b)[:1] for _ in range(a * c)]).reshape(a, 1, c),
            draw.tensor(a, 1, c),
        ),
        lambda: exactly(torch.scatter, x, 1, torch.randint(b, (a, n, c)), 2.0),
        lambda: check(torch.index_add, x, 0, i % a, draw.tensor(n, b, c), alpha=draw.one((1, 0.5))),
        lambda: exactly(torch.index_copy, x, 0, torch.randperm(a)[:1], draw.tensor(1, b, c)),
        lambda: exactly(torch.index_fill, x, 0, i % a, 3.0),
        lambda: exactly(torch.index_put, x, (torch.randperm(a)[:1], torch.randperm(b)[:1]), draw.tensor(1, c)),
        lambda: check(torch.index_put, x, (i, j), draw.tensor(n, c), accumulate=True),
    )
    draw.one(calls)()


def test_writing_into_a_tensor() -> None:
    x, value = normal(3, 4), normal(4)
    for key in (0, (slice(None), 1), (torch.tensor([0, 2]), slice(1, 3)), torch.rand(3, 4) > 0.5):
        whole = x[key].shape
        filled = normal(*whole) if whole != value.shape else value
        args = bind_arguments(T.__setitem__, (x, key, filled))
        rule = find_rule(T.__setitem__, args)
        assert rule is not None
        expected = x.clone()
        expected[key] = filled
        grad = torch.randn_like(x)
        theirs = torch.autograd.grad(expected, (x, filled), grad)
        with torch.no_grad():
            outputs = rule.forward(args)
            ours = rule.backward(args, outputs, (grad,))
        assert torch.equal(outputs[0], expected)
        assert torch.equal(ours["input"], theirs[0])
        torch.testing.assert_close(ours["value"], theirs[1])
        for index in ((0, 0), (2, 1), (1, 3)):
            assert rule.entry(args, outputs, index).result == float(expected[index])
            assert rule.gradient_entry(args, outputs, (grad,), "input", index).value == float(theirs[0][index])


def test_detach_lets_no_gradient_pass() -> None:
    rule = find_rule(T.detach)
    assert rule is not None
    assert not rule.differentiable
    assert rule.backward({"input": normal(2)}, (), ()) == {}
