"""Convolution, pooling, normalisation, dropout, embedding, attention and recurrent layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from pellucid.core.rules.registry import bind_arguments, find_rule
from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check, normal

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
TWO = (torch.float64, torch.float32)


@settings(max_examples=140, deadline=None)
@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    rank, groups = draw.size(1, 3), draw.one((1, 1, 2))
    kernel = [draw.size(1, 3 if rank < 3 else 2) for _ in range(rank)]
    stride, dilation = draw.size(1, 2), draw.size(1, 2)
    places = [dilation * (k - 1) + draw.size(1, 3) for k in kernel]
    batch = () if draw.yes() and groups == 1 else (draw.size(1, 2),)
    x = draw.tensor(*batch, 2, *places)
    if draw.yes():
        padding = draw.one((0, 1, "valid", *(["same"] if stride == 1 else [])))
        weight, bias = draw.tensor(2 * groups, 2 // groups, *kernel), draw.maybe(draw.tensor(2 * groups))
        check(CONVOLUTIONS[rank - 1], x, weight, bias, stride, padding, dilation, groups)
    else:
        padding = min(draw.size(0, 1), min(kernel) - 1)
        weight, bias = draw.tensor(2, 2, *kernel), draw.maybe(draw.tensor(2 * groups))
        extra = draw.one((0, 1)) if max(stride, dilation) > 1 else 0
        check(TRANSPOSED[rank - 1], x, weight, bias, stride, padding, extra, groups, dilation)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_pooling(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    rank = draw.size(1, 3)
    places = [draw.size(3, 6 if rank < 3 else 4) for _ in range(rank)]
    x = draw.tensor(2, 2, *places)
    ties = x.detach().round().requires_grad_()
    kernel, stride, ceil = draw.size(1, 3), draw.maybe(draw.size(1, 3)), draw.yes()
    padding = draw.size(0, kernel // 2)
    target = draw.size(1, 3)
    largest = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    means = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    fitted = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[rank - 1]
    fitted_largest = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[rank - 1]
    mode = ("linear", "bilinear", "trilinear")[rank - 1]
    calls = (
        lambda: check(largest, x, kernel, stride, padding, 1, ceil, return_indices=draw.yes(), exact=True),
        lambda: check(largest, ties, kernel, stride, padding, ceil_mode=ceil, smooth=False, exact=True),
        lambda: check(means, x, kernel, stride, padding, ceil, draw.yes()),
        lambda: check(fitted, x, target),
        lambda: check(fitted_largest, x, target, exact=True),
        lambda: check(
            F.interpolate, x, scale_factor=draw.one((0.6, 1.5, 2.0)), mode=mode, align_corners=draw.yes(), roundings=1e3
        ),
        lambda: check(F.interpolate, x, size=[draw.size() for _ in range(rank)], mode=draw.one((mode, "area"))),
        lambda: check(F.interpolate, draw.tensor(1, 1, 4, 3), size=(5, 7), mode="bicubic", align_corners=draw.yes()),
    )
    draw.one(calls)()


@settings(max_examples=160, deadline=None)
@given(st.data())
def test_normalization(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    places = draw.shape(0, 2)
    n, c = draw.size(2), 4
    x, weight, bias = draw.tensor(n, c, *places), draw.maybe(draw.tensor(c)), draw.maybe(draw.tensor(c))
    mean, variance = torch.randn(c, dtype=draw.dtype), torch.rand(c, dtype=draw.dtype) + 0.1
    last = x.shape[1:] if draw.yes() else x.shape[-1:]
    affine_pair = draw.one(((None, None), (draw.tensor(c), draw.tensor(c))))
    affine = {"weight": draw.maybe(draw.tensor(*last))}
    calls = (
        lambda: check(F.batch_norm, x, mean, variance, weight, bias, training=True, roundings=1e3),
        lambda: check(F.batch_norm, x, None, None, weight, bias, training=True, roundings=1e3),
        lambda: check(F.batch_norm, x, mean, variance, weight, bias, training=False),
        lambda: check(F.group_norm, draw.tensor(n, c, 3), draw.one((1, 2, 4)), *affine_pair, roundings=1e3),
        lambda: check(F.instance_norm, draw.tensor(n, c, 3), None, None, weight, bias, roundings=1e3),
        lambda: check(F.layer_norm, x, last, bias=draw.maybe(draw.tensor(*last)), eps=1e-3, roundings=1e3, **affine),
        lambda: check(F.rms_norm, x, last, eps=draw.one((None, 1e-3)), roundings=1e3, **affine),
    )
    draw.one(calls)()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_dropout_knows_what_was_drawn(data: st.DataObject) -> None:
    draw = Draws(data)
    ranks = {F.dropout: 0, F.dropout1d: 1, F.dropout2d: 2, F.dropout3d: 3, torch.dropout: 1, torch.feature_dropout: 2}
    ranks |= {F.alpha_dropout: 1, F.feature_alpha_dropout: 2, torch.alpha_dropout: 0}
    function = draw.one(ranks)
    x = draw.tensor(2, 3, *[2] * ranks[function])
    with torch.no_grad():
        x[draw.one((0, 1))] = 0.0  # zeros, as after a relu, do not show what was drawn
    check(function, x, draw.one((0.0, 0.3, 0.5, 1.0)), draw.yes())


@pytest.mark.parametrize("function", [F.dropout, F.dropout2d, torch.feature_dropout, F.alpha_dropout])
def test_dropout_is_read_off_where_nothing_was_noted(function: Any) -> None:
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    y = function(x, 0.4, True)
    bound = bind_arguments(function, (x, 0.4, True), {})
    rule = find_rule(function, bound)
    assert rule is not None
    assert torch.equal(rule.forward(bound, (y,))[0], y) or function is F.alpha_dropout
    torch.testing.assert_close(rule.forward(bound, (y,))[0], y)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_tables(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    rows, features = draw.size(2, 5), draw.size()
    index = torch.randint(rows, draw.shape(1, 2))
    table, padding = draw.tensor(rows, features), draw.one((None, 0, -1))
    bags = torch.randint(rows, (2, 3))
    mode = draw.one(("sum", "mean", "max"))
    calls = (
        lambda: check(F.embedding, index, table, padding, exact=True, smooth=padding is None),
        lambda: check(F.embedding, index, table, scale_grad_by_freq=True, smooth=False),
        lambda: check(F.embedding_bag, bags, table, mode=mode),
        lambda: check(F.embedding_bag, bags.reshape(-1), table, torch.tensor([0, 2, 2]), mode=mode),
        lambda: check(F.embedding_bag, bags, table, mode="sum", per_sample_weights=draw.tensor(2, 3)),
        lambda: check(F.embedding_bag, bags, table, mode="mean", padding_idx=0, smooth=False),
    )
    draw.one(calls)()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_attention(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    queries, keys, features, values = (draw.size() for _ in range(4))
    heads, shared = draw.size(1, 2), draw.size(1, 2)
    lead = draw.one(((), (2,), (2, heads)))
    keys = queries if draw.yes() else keys
    t = draw.tensor
    mask = torch.rand(queries, keys) > 0.4
    mask[:, 0] = True
    call = (t(*lead, queries, features), t(*lead, keys, features), t(*lead, keys, values))
    attend = F.scaled_dot_product_attention
    calls = (
        lambda: check(attend, *call, scale=draw.one((None, 0.3))),
        lambda: check(attend, *call, is_causal=True),
        lambda: check(attend, *call, dropout_p=draw.one((0.3, 0.8))),
        lambda: check(attend, *call, mask, 0.5),
        lambda: check(
            attend,
            t(2, heads * shared, queries, 2),
            t(2, heads, keys, 2),
            t(2, heads, keys, 3),
            None,
            0.4,
            enable_gqa=True,
        ),
        lambda: check(attend, *call, attn_mask=mask),
        lambda: check(attend, *call, attn_mask=t(queries, keys)),
        lambda: check(
            attend, t(2, heads * shared, queries, 2), t(2, heads, keys, 2), t(2, heads, keys, 3), enable_gqa=True
        ),
    )
    rule = draw.one(calls)()
    bound = bind_arguments(attend, call, {})
    for name, values_of in rule.intermediates(bound).items():
        index = tuple(0 for _ in values_of.shape)
        assert abs(rule.intermediate_entry(bound, name, index).result - float(values_of[index])) < 1e-9


class Recorder(TorchFunctionMode):
    """Notes the recurrent calls that modules make."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "").removesuffix("_cell") in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


@settings(max_examples=70, deadline=None)
@given(st.data())
def test_recurrent_layers(data: st.DataObject) -> None:
    draw = Draws(data, TWO)
    kind = draw.one((nn.LSTM, nn.GRU, nn.RNN))
    curve = {"nonlinearity": draw.one(("tanh", "relu"))} if kind is nn.RNN else {}
    first, bias = draw.yes(), draw.yes()
    curve |= {"proj_size": draw.one((0, 1, 2))} if kind is nn.LSTM else {}
    layers = draw.size(1, 3)
    dropped = draw.one((0.0, 0.5)) if layers > 1 else 0.0
    model = kind(
        2, 3, layers, bias=bias, batch_first=first, bidirectional=draw.yes(), dtype=draw.dtype, dropout=dropped, **curve
    )
    with Recorder() as recorder:
        if draw.yes():
            model(draw.tensor(2, 3, 2))
        else:
            model(nn.utils.rnn.pack_sequence([draw.tensor(3, 2), draw.tensor(2, 2), draw.tensor(1, 2)]))
    _check_recorded(recorder, draw.dtype)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_cells(kind: Any, bias: bool) -> None:
    with Recorder() as recorder:
        kind(2, 3, bias=bias, dtype=torch.float64)(normal(4, 2))
    _check_recorded(recorder, torch.float64)


def _check_recorded(recorder: Recorder, dtype: torch.dtype) -> None:
    assert recorder.calls
    for function, args, kwargs in recorder.calls:
        fresh = tree_map(
            lambda v: v.detach().requires_grad_() if isinstance(v, torch.Tensor) and v.dtype == dtype else v, list(args)
        )
        rule = check(function, *fresh, **kwargs)
        bound = bind_arguments(function, fresh, kwargs)
        assert find_rule(function, {**bound, "drawn": ()}) is rule
        for name, values in list(rule.intermediates(bound).items())[:6]:
            found = rule.intermediate_entry(bound, name, (0, values.shape[1] - 1))
            assert abs(found.result - float(values[0, -1].detach())) < 1e-9
