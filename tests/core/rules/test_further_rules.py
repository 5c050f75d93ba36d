"""Pairs of reductions, gathered sums, grouped and cross products, margins, distances, counts and searches."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check

WIDE = (torch.float64, torch.float32)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_sums_and_products(data: st.DataObject) -> None:
    draw = Draws(data, WIDE)
    a, b, c = draw.size(2), draw.size(2), draw.size()
    x, dim = draw.tensor(a, b, c + 1), draw.one((0, 1, -1))
    holes = x.detach().clone()
    holes[0, 0, 0] = torch.nan
    offs = torch.tensor([1, 3, 4], dtype=torch.int32)  # with rows of whole 16 bytes, as grouped products take them
    calls = (
        lambda: check(torch.var_mean, x, dim=dim, keepdim=draw.yes()),
        lambda: check(torch.std_mean, x, dim=dim, correction=draw.one((0, 1))),
        lambda: check(torch.aminmax, x, dim=dim, keepdim=draw.yes()),
        lambda: check(torch.nanmean, holes.requires_grad_(), dim=dim, smooth=False),
        lambda: check(torch.cumprod, x, dim=dim),
        lambda: check(torch.logcumsumexp, x, dim=dim),
        lambda: check(torch.trace, draw.tensor(a, b)),
        lambda: check(F.fold, draw.tensor(a, 2 * 4, 9), (4, 4), 2),
        lambda: check(F.fold, draw.tensor(a, 3 * 4, 4), (4, 5), 2, padding=1, stride=(3, 4)),
        lambda: check(torch.kron, draw.tensor(a, b), draw.tensor(c, 2)),
        lambda: check(torch.cross, draw.tensor(a, 3), draw.tensor(a, 3), dim=1),
        lambda: check(torch.linalg.cross, draw.tensor(3, a), draw.tensor(3, a), dim=0),
        lambda: (
            check(torch._grouped_mm, draw.tensor(4, 4 * a), draw.tensor(3, 4 * a, 4 * b), offs=offs, roundings=256)
            if draw.dtype == torch.float32
            else None
        ),
    )
    draw.one(calls)()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_margins_and_distances(data: st.DataObject) -> None:
    draw = Draws(data, WIDE)
    n, c = draw.size(), draw.size(2)
    x, reduction = draw.tensor(n, c), draw.one(("mean", "sum", "none"))
    target = torch.randint(c, (n,))
    labels = torch.stack([torch.randperm(c) for _ in range(n)])
    labels[:, 1:] = torch.where(torch.rand(n, c - 1) < 0.5, -1, labels[:, 1:])
    weight = draw.maybe(torch.rand(c, dtype=draw.dtype))
    calls = (
        lambda: check(F.multi_margin_loss, x, target, p=draw.one((1, 2)), weight=weight, reduction=reduction),
        lambda: check(F.multi_margin_loss, draw.tensor(c), torch.tensor(1), reduction=reduction),
        lambda: check(F.multilabel_margin_loss, x, labels, reduction=reduction),
        lambda: check(torch.cdist, x, draw.tensor(draw.size(), c), draw.one((1.0, 2.0, 3.0)), roundings=1024),
        lambda: check(torch.cdist, draw.tensor(2, n, c), draw.tensor(2, 3, c), roundings=1024),
    )
    draw.one(calls)()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_values_without_gradient(data: st.DataObject) -> None:
    draw = Draws(data, WIDE)
    x = torch.randn(draw.size(), draw.size(), dtype=draw.dtype)
    whole = torch.randint(5, (6,))
    borders = torch.randn(5, dtype=draw.dtype).sort().values
    calls = (
        lambda: check(torch.histc, x, 4, -1, 1),
        lambda: check(torch.histc, x, draw.size()),
        lambda: check(torch.bincount, whole, minlength=draw.one((0, 9))),
        lambda: check(torch.bincount, whole, torch.rand(6)),
        lambda: check(torch.nonzero, x.round()),
        lambda: check(torch.nonzero, x.round(), as_tuple=True),
        lambda: check(torch.argwhere, x.round()),
        lambda: check(torch.isclose, x, x + draw.one((0.0, 1e-9, 1.0))),
        lambda: check(torch.isin, whole, torch.tensor([1, 3]), invert=draw.yes()),
        lambda: check(torch.heaviside, x.round(), torch.tensor(0.5, dtype=draw.dtype)),
        lambda: check(torch.searchsorted, borders, torch.cat([borders[:2], x.reshape(-1)]), right=draw.yes()),
        lambda: check(torch.bucketize, x, borders, right=draw.yes()),
    )
    draw.one(calls)()
