"""Numbers put in another order: bit-equal, and their gradients autograd's."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check, normal

exactly = partial(check, exact=True)


@settings(max_examples=140, deadline=None)
@given(st.data())
def test_rearrangements(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    a, b, c, r = draw.size(), draw.size(), draw.size(), draw.size(1, 2)
    x, y, v = draw.tensor(a, b, c), draw.tensor(a, b, c), draw.tensor(a)
    offset, dim = draw.one((-1, 0, 2)), draw.one((0, 1, -1))
    picture = draw.tensor(a, 4, 4 * r, 2 * r)
    pooled, places = F.max_pool2d(torch.randn(a, b, 4, 6, dtype=draw.dtype), 2, return_indices=True)
    calls = (
        lambda: exactly(F.pixel_shuffle, draw.tensor(a, 4, b, c), 2),
        lambda: exactly(F.pixel_unshuffle, picture, r),
        lambda: exactly(F.channel_shuffle, draw.tensor(a, 4, b, c), draw.one((1, 2, 4))),
        lambda: exactly(torch.meshgrid, v, draw.tensor(b), indexing=draw.one(("ij", "xy"))),
        lambda: exactly(torch.broadcast_tensors, x, draw.tensor(b, 1)),
        lambda: exactly(torch.tensor_split, x, draw.one((1, 2, 3, (1, 2))), dim=dim),
        lambda: exactly(torch.hsplit, draw.tensor(a, 4), 2),
        lambda: exactly(torch.vsplit, draw.tensor(4, a), 2),
        lambda: exactly(torch.hstack, draw.one(([x, y], [v, draw.tensor(b)]))),
        lambda: exactly(torch.vstack, draw.one(([x, y], [v, draw.tensor(a)]))),
        lambda: exactly(torch.dstack, draw.one(([x, y], [v, draw.tensor(a)]))),
        lambda: exactly(torch.column_stack, draw.one(([x, y], [v, draw.tensor(a, 2)]))),
        lambda: exactly(torch.diag, draw.one((v, draw.tensor(a + 2, b + 2))), offset),
        lambda: exactly(torch.diag_embed, x, offset, draw.one((-2, 0)), draw.one((-1, 1))),
        lambda: exactly(torch.select_scatter, x, draw.tensor(a, c), 1, b - 1),
        lambda: exactly(torch.slice_scatter, x, draw.tensor(a, 1, c), 1, b - 1, b),
        lambda: exactly(torch.diagonal_scatter, draw.tensor(a, a), v),
        lambda: exactly(torch.masked_scatter, x, torch.rand(a, b, c) > 0.5, y),
        lambda: exactly(torch.fliplr, x),
        lambda: exactly(torch.flipud, x),
        lambda: exactly(torch.rot90, x, draw.one((-1, 1, 2, 3)), (0, 2)),
        lambda: exactly(F.unfold, picture, (2, 1), dilation=r, padding=1, stride=2),
        lambda: exactly(F.max_unpool2d, pooled.clone().requires_grad_(), places, 2),
        lambda: exactly(torch.cummax, x, dim, smooth=False),
        lambda: exactly(torch.cummin, x, dim, smooth=False),
    )
    draw.one(calls)()


def test_equal_numbers_of_a_running_maximum() -> None:
    exactly(torch.cummax, normal(6).detach().round().requires_grad_(), 0, smooth=False)
    exactly(torch.cummin, torch.tensor([1.0, 1.0, 0.0, 0.0], requires_grad=True), 0, smooth=False)
