"""Contractions: linear layers, matrix products, einsum."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check

EQUATIONS = (
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 2))),
    ("...i,ij->...j", ((2, 3, 4), (4, 5))),
    ("ij->i", ((3, 4),)),
    ("ij->ji", ((3, 4),)),
    ("i,j", ((3,), (4,))),
    ("bi,bj,bk->k", ((2, 3), (2, 2), (2, 4))),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))),
    ("bi,oij,bj->bo", ((2, 3), (4, 3, 2), (2, 2))),
    ("i,i->", ((3,), (3,))),
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_products(data: st.DataObject) -> None:
    draw = Draws(data)
    t, n, k, m, b = draw.tensor, draw.size(), draw.size(), draw.size(), draw.size()
    batch = draw.shape(0, 2)
    equation, shapes = draw.one(EQUATIONS)
    calls = (
        lambda: check(F.linear, t(*batch, k), t(n, k), draw.maybe(t(n))),
        lambda: check(torch.matmul, t(*batch, n, k), t(k, m)),
        lambda: check(torch.matmul, t(b, 1, n, k), t(m, k, 2)),
        lambda: check(torch.matmul, t(k), t(*batch, k, m)),
        lambda: check(torch.matmul, t(*batch, n, k), t(k)),
        lambda: check(torch.Tensor.__matmul__, t(k), t(k)),
        lambda: check(torch.mm, t(n, k), t(k, m)),
        lambda: check(torch.bmm, t(b, n, k), t(b, k, m)),
        lambda: check(torch.mv, t(n, k), t(k)),
        lambda: check(torch.dot, t(k), t(k)),
        lambda: check(torch.outer, t(n), t(m)),
        lambda: check(torch.addmm, t(*draw.narrower((n, m))), t(n, k), t(k, m), beta=draw.one((0, 1, 0.5)), alpha=2),
        lambda: check(torch.baddbmm, t(b, n, m), t(b, n, k), t(b, k, m), alpha=0.5),
        lambda: check(torch.addbmm, t(n, m), t(b, n, k), t(b, k, m)),
        lambda: check(torch.addmv, t(n), t(n, k), t(k)),
        lambda: check(torch.addr, t(n, m), t(n), t(m)),
        lambda: check(torch.inner, t(*batch, k), t(n, k)),
        lambda: check(torch.linalg.vecdot, t(n, k), t(k)),
        lambda: check(F.bilinear, t(*batch, n), t(*batch, k), t(m, n, k), draw.maybe(t(m))),
        lambda: check(torch.tensordot, t(2, n, k), t(k, n, 3), dims=([1, 2], [1, 0])),
        lambda: check(torch.einsum, equation, *[t(*shape) for shape in shapes]),
    )
    draw.one(calls)()


def test_a_product_over_nothing_is_zero() -> None:
    check(F.linear, torch.zeros(2, 0, requires_grad=True), torch.zeros(3, 0, requires_grad=True))
    check(torch.matmul, torch.zeros(0, 4, requires_grad=True), torch.zeros(4, 2, requires_grad=True))
