"""Reductions, extremes, softmax, ranking and losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rules.draws import Draws
from tests.core.rules.oracle import check

T = torch.Tensor
REDUCTIONS = ("mean", "sum", "none")


@settings(max_examples=260, deadline=None)
@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    x = draw.tensor(*(draw.size(2) for _ in range(3)))
    dim, keepdim = draw.one((0, 1, 2, -1)), draw.yes()
    dims = draw.one(((0, 1), (0, -1), (1,), (0, 1, 2)))
    several = (torch.sum, torch.mean, torch.amax, torch.amin, torch.var, torch.std, torch.nansum, torch.logsumexp)
    calls = (
        lambda: check(draw.one((torch.sum, torch.mean, torch.prod, torch.max, torch.min, torch.norm, torch.var)), x),
        lambda: check(draw.one(several), x, dim, keepdim=keepdim),
        lambda: check(draw.one(several), x, dim=dims, keepdim=keepdim),
        lambda: check(draw.one((torch.max, torch.min, torch.median)), x, dim, keepdim),
        lambda: check(torch.var, x, dim, correction=draw.one((0, 1, 0.5)), keepdim=keepdim),
        lambda: check(T.std, x, dim, unbiased=draw.yes()),
        lambda: check(torch.prod, x, dim),
        lambda: check(torch.norm, x, draw.one((1, 2, 3, float("inf"))), dim),
        lambda: check(torch.linalg.vector_norm, x, draw.one((0.5, 1, 2, float("inf"), 0)), dims, keepdim),
        lambda: check(torch.cumsum, x, dim),
        lambda: check(draw.one((F.softmax, F.log_softmax, F.softmin)), x, dim=dim),
        lambda: check(torch.topk, x, draw.size(1, 2), dim, largest=draw.yes()),
        lambda: check(torch.sort, x, dim, descending=draw.yes()),
        lambda: check(draw.one((torch.argmax, torch.argmin)), x, dim=draw.one((None, dim)), keepdim=keepdim),
        lambda: check(torch.argsort, x, dim, descending=draw.yes()),
        lambda: check(F.glu, draw.tensor(3, 4), draw.one((1, -1))),
    )
    draw.one(calls)()


@settings(max_examples=220, deadline=None)
@given(st.data())
def test_losses(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    n, m = draw.size(), draw.size()
    x, t, p, q = draw.tensor(n, m), draw.tensor(n, m), draw.tensor(n, m, low=0.1), draw.tensor(n, m, low=0.1)
    share = (torch.rand(n, m).to(draw.dtype) * 0.8 + 0.1).requires_grad_()
    sign, weight = torch.randint(2, (n, m)).to(draw.dtype) * 2 - 1, torch.rand(m).to(draw.dtype)
    k = {"reduction": draw.one(REDUCTIONS)}
    calls = (
        lambda: check(draw.one((F.mse_loss, F.l1_loss)), x, t, **k),
        lambda: check(F.smooth_l1_loss, x, t, beta=draw.one((0.3, 1.0)), **k),
        lambda: check(F.huber_loss, x, t, delta=draw.one((0.3, 1.0)), **k),
        lambda: check(F.binary_cross_entropy, share, share.detach().flip(0), draw.maybe(weight), **k),
        lambda: check(
            F.binary_cross_entropy_with_logits, x, share, draw.maybe(weight), pos_weight=draw.maybe(weight + 0.5), **k
        ),
        lambda: check(F.kl_div, x, p, **k),
        lambda: check(F.kl_div, x, t, log_target=True, reduction=draw.one(("batchmean", *REDUCTIONS))),
        lambda: check(F.gaussian_nll_loss, x, t, draw.one((p, draw.tensor(n, 1, low=0.2))), full=draw.yes(), **k),
        lambda: check(F.poisson_nll_loss, x, q, log_input=True, full=draw.yes(), **k),
        lambda: check(F.poisson_nll_loss, p, q, log_input=False, **k),
        lambda: check(F.soft_margin_loss, x, sign, **k),
        lambda: check(F.hinge_embedding_loss, x, sign, margin=0.7, **k),
        lambda: check(F.margin_ranking_loss, x, t, sign, margin=0.1, **k),
        lambda: check(F.cosine_embedding_loss, x, t, sign[:, 0], margin=0.1, **k),
        lambda: check(F.triplet_margin_loss, x, t, draw.tensor(n, m), swap=draw.yes(), p=draw.one((1, 2, 3)), **k),
        lambda: check(F.cosine_similarity, x, t, dim=draw.one((0, 1))),
        lambda: check(F.pairwise_distance, x, t, p=draw.one((1, 2, 3)), keepdim=draw.yes()),
    )
    draw.one(calls)()


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_class_losses(data: st.DataObject) -> None:
    draw = Draws(data, (torch.float64, torch.float32))
    n, classes, places = draw.size(), draw.size(2, 5), draw.shape(0, 2)
    x, target = draw.tensor(n, classes, *places), torch.randint(classes, (n, *places))
    weight = draw.maybe(torch.rand(classes).to(draw.dtype) + 0.1)
    smoothing, reduction = draw.one((0.0, 0.1)), draw.one(REDUCTIONS)
    ignored = draw.one((-100, 0))
    if draw.yes():
        target.reshape(-1)[0] = -100
    target = torch.where(target == -100, ignored, target)
    soft = torch.softmax(draw.tensor(n, classes, *places).detach(), 1).requires_grad_()
    k = {"weight": weight, "reduction": reduction, "smooth": bool((target != ignored).any())}
    calls = (
        lambda: check(F.cross_entropy, x, target, ignore_index=ignored, label_smoothing=smoothing, **k),
        lambda: check(F.cross_entropy, x, soft, label_smoothing=smoothing, **k),
        lambda: check(F.nll_loss, x, target, ignore_index=ignored, **k),
        lambda: check(
            F.cross_entropy, x[0] if not places else x, torch.tensor(1) if not places else target.clamp(min=0), **k
        ),
    )
    draw.one(calls)()


def test_softmax_and_cross_entropy_give_p_minus_y() -> None:
    x = torch.randn(1, 4, dtype=torch.float64)
    from pellucid.core.rules.registry import bind_arguments, find_rule

    args = bind_arguments(F.cross_entropy, (x, torch.tensor([2])))
    rule = find_rule(F.cross_entropy, args)
    assert rule is not None
    outputs = rule.forward(args)
    found = rule.gradient_entry(args, outputs, (torch.ones((), dtype=torch.float64),), "input", (0, 2))
    assert {term.label for term in found.terms} == {"p", "-q"}
    torch.testing.assert_close(found.value, float(x.softmax(1)[0, 2] - 1))
