"""Scaled dot-product attention, unrolled into scores, weights and their use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import aligned, reached, sum_to, take, wide
from pellucid.core.rules.sums import Column, Index, Number, Sum, column, constant, single

__all__ = ["RULES", "Attention", "ScaledDotProductAttention"]


@dataclass(frozen=True)
class Attention:
    """What attention computes, in float64; key and value heads are repeated where several query heads share one.

    Args:
        query: (…, queries, features).
        key: (…, keys, features).
        value: (…, keys, value features).
        scores: scale · query · key + mask, −∞ where masked; (…, queries, keys).
        weights: The scores' softmax over the keys.
        drawn: What dropout multiplies each weight with, 0 or 1/(1 − p); None without.
        scale: The factor.
        shared: How many query heads share a key head.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scores: Tensor
    weights: Tensor
    drawn: Tensor | None
    scale: Number
    shared: int

    def dropped(self, by_weight: Tensor) -> Tensor:
        """Numbers of the shape of the weights, each times what dropout drew for it."""
        return by_weight if self.drawn is None else by_weight * self.drawn


class ScaledDotProductAttention(Rule):
    """y_q = Σ_j a_qj v_j with weights a = softmax_j(s q·k_j + mask), s = 1/√E (Vaswani et al. 2017, equation 1).

    With ∂L/∂a_qj = g_q · v_j and ∂L/∂score_qj = a_qj (∂L/∂a_qj − Σ_m a_qm ∂L/∂a_qm):
    ∂L/∂v_j = Σ_q a_qj g_q, ∂L/∂q = s Σ_j ∂L/∂score_qj k_j, ∂L/∂k_j = s Σ_q ∂L/∂score_qj q.
    Dropout multiplies each weight, after the softmax, with what was drawn for it.
    """

    cancels = True

    names = ("scaled_dot_product_attention",)
    signature = "query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False"
    formula = r"y_q=\sum_j\operatorname{softmax}_j\left(\frac{q\cdot k_j}{\sqrt E}+M_{qj}\right)v_j"
    derivative = r"\frac{\partial L}{\partial s_{qj}}=a_{qj}\left(g_q\cdot v_j-\sum_m a_{qm}\,g_q\cdot v_m\right)"

    @override
    def applies(self, args: Arguments) -> bool:
        return not args.get("dropout_p") or "drawn" in args

    def _attend(self, args: Arguments, lead: Index | None = None) -> Attention:
        """The whole computation, or that of one head: ``lead`` is its position in the leading axes."""
        query, key, value = (args[name].detach() for name in ("query", "key", "value"))
        scale = args.get("scale")
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
        shared = query.shape[-3] // key.shape[-3] if args.get("enable_gqa") and query.ndim > 2 else 1
        mask, full = args.get("attn_mask"), query.shape[:-2]
        if lead is None:
            key, value = (t.repeat_interleave(shared, -3) if shared > 1 else t for t in (key, value))
            mask = None if mask is None else mask.detach()
        else:
            query = query[lead]
            key, value = (_head(t, lead, shared) for t in (key, value))
            if mask is not None:
                mask = mask.detach().expand(*full, *mask.shape[-2:])[lead]
        query, key, value = wide(query), wide(key), wide(value)
        scores = torch.einsum("...qe,...ke->...qk", query, key) * scale
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + wide(mask)
        if args.get("is_causal"):
            ahead = torch.arange(scores.shape[-1]) > torch.arange(scores.shape[-2])[:, None]
            scores = torch.where(ahead, -torch.inf, scores)
        top = scores.amax(-1, keepdim=True)
        weights = torch.exp(scores - torch.where(torch.isinf(top), 0.0, top))
        total = weights.sum(-1, keepdim=True)
        weights = torch.where(total == 0, 0.0, weights / total)
        drawn = args.get("drawn")
        drawn = None if drawn is None else drawn if lead is None else drawn[lead]
        return Attention(query, key, value, scores, weights, drawn, scale, shared)

    def _score_gradient(self, made: Attention, grad: Tensor) -> Tensor:
        """∂L/∂score."""
        by_weight = made.dropped(torch.einsum("...qd,...kd->...qk", wide(grad), made.value))
        return made.weights * (by_weight - (made.weights * by_weight).sum(-1, keepdim=True))

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        made = self._attend(args)
        value = torch.einsum("...qk,...kd->...qd", made.dropped(made.weights), made.value)
        return (value.to(outputs[0].dtype if outputs else args["query"].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        made, grad = self._attend(args), wide(upstream(outputs, grads))
        scores = self._score_gradient(made, grad)
        by_key = torch.einsum("...qk,...qe->...ke", scores, made.query) * made.scale
        by_value = torch.einsum("...qk,...qd->...kd", made.dropped(made.weights), grad)
        by_query = torch.einsum("...qk,...ke->...qe", scores, made.key) * made.scale
        found = {
            name: sum_to(_unshared(share, made.shared), args[name].shape).to(args[name].dtype)
            for name, share in (("key", by_key), ("value", by_value))
        }
        found["query"] = sum_to(by_query, args["query"].shape).to(args["query"].dtype)
        mask = args.get("attn_mask")
        if isinstance(mask, Tensor) and mask.dtype.is_floating_point:
            found["attn_mask"] = sum_to(scores, mask.shape).to(mask.dtype)
        return found

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        lead, place, feature = index[:-2], index[-2], index[-1]
        made = self._attend(args, lead)
        weights = self._row("weights", lead, place, made.weights[place])
        keys = torch.arange(len(made.value))
        at = _positions(self._shared_lead(lead, made.shared), keys, torch.full_like(keys, feature))
        values = column("value", _clipped(at, args["value"]), made.value[:, feature])
        if made.drawn is None:
            return Sum.of([single("weights · value", weights, values)])
        return Sum.of([single("weights · drawn · value", weights, column("drawn", None, made.drawn[place]), values)])

    def _row(self, name: str, lead: Index, place: int, values: Tensor) -> Column:
        """One query's numbers for all keys."""
        keys = torch.arange(len(values))
        return column(name, _positions(lead, torch.full_like(keys, place), keys), values)

    def _shared_lead(self, lead: Index, shared: int) -> Index:
        """The key head that a query head uses."""
        return (*lead[:-1], lead[-1] // shared) if lead else lead

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad, blocks = upstream(outputs, grads), []
        if argument == "attn_mask":
            full = (*grad.shape[:-1], args["key"].shape[-2])
            where = reached(index, args["attn_mask"].shape, full)
            scores = self._score_gradient(self._attend(args), grad)
            return Sum.of([single("∂L/∂score", column(r"\partial L/\partial score", where, take(scores, where)))])
        for lead in self._heads(args, argument, index, grad):
            made = self._attend(args, lead)
            blocks.append(self._paths(args, made, grad[lead], argument, (lead, index[-2], index[-1])))
        return Sum.of([single(label, *columns) for label, columns in blocks])

    def _heads(self, args: Arguments, argument: str, index: Index, grad: Tensor) -> list[Index]:
        """The query heads that an entry takes part in."""
        lead, shape = index[:-2], list(args[argument].shape[:-2])
        if argument != "query" and args.get("enable_gqa") and lead:
            shared = args["query"].shape[-3] // args["key"].shape[-3]
            return [(*lead[:-1], lead[-1] * shared + k) for k in range(shared)]
        return [tuple(row) for row in reached(lead, shape, grad.shape[:-2]).tolist()]

    def _paths(
        self, args: Arguments, made: Attention, grad: Tensor, argument: str, where: tuple[Index, int, int]
    ) -> tuple[str, list[Column]]:
        """The terms within one head."""
        lead, place, feature = where
        if argument == "value":
            queries = torch.arange(len(grad))
            at = _positions(lead, queries, torch.full_like(queries, feature))
            at_weight = _positions(lead, queries, torch.full_like(queries, place))
            weights = column("weights", at_weight, made.weights[:, place])
            drawn = [] if made.drawn is None else [column("drawn", None, made.drawn[:, place])]
            return "grad · weights", [column("grad", at, grad[:, feature]), weights, *drawn]
        scores, scale = self._score_gradient(made, grad), made.scale
        if argument == "query":
            other, values, line = "key", made.key[:, feature], scores[place]
            slopes = self._row(r"\partial L/\partial score", lead, place, line)
        else:
            other, values, line = "query", made.query[:, feature], scores[:, place]
            rows = torch.arange(len(line))
            slopes = column(r"\partial L/\partial score", _positions(lead, rows, torch.full_like(rows, place)), line)
        rows = torch.arange(len(line))
        own = self._shared_lead(lead, made.shared) if other == "key" else lead
        at = _clipped(_positions(own, rows, torch.full_like(rows, feature)), args[other])
        return f"∂L/∂score · {other}", [slopes, column(other, at, values), constant("scale", scale, len(line))]

    @override
    def intermediates(self, args: Arguments) -> dict[str, Tensor]:
        made = self._attend(args)
        return {"scores": made.scores, "weights": made.weights}

    @override
    def intermediate_entry(self, args: Arguments, name: str, index: Index) -> Sum:
        lead, query, key = index[:-2], index[-2], index[-1]
        made = self._attend(args, lead)
        if name == "weights":
            scores = made.scores[query]
            top = float(scores.max())
            shares = self._row("exp(score - m)", lead, query, torch.exp(scores - top))
            own = float(scores[key]) - top
            return Sum.of([single(shares.name, shares)], then=rf"e^{{{own:.6g}}}/s", result=made.weights[query, key])
        features = torch.arange(made.query.shape[-1])
        at_query = _positions(lead, torch.full_like(features, query), features)
        at_key = _positions(self._shared_lead(lead, made.shared), torch.full_like(features, key), features)
        columns = [
            column("query", at_query, made.query[query]),
            column("key", _clipped(at_key, args["key"]), made.key[key]),
            constant("scale", made.scale, len(features)),
        ]
        blocks = [single("query · key · scale", *columns)]
        rest = float(made.scores[query, key]) - float((made.query[query] * made.key[key]).sum() * made.scale)
        if args.get("attn_mask") is not None or math.isinf(rest):
            blocks.append(single("mask", constant("mask", rest)))
        return Sum.of(blocks)


def _head(tensor: Tensor, lead: Index, shared: int) -> Tensor:
    """One head of the keys or values, which may be shared or broadcast."""
    if not lead:
        return tensor
    place = (*lead[:-1], lead[-1] // shared)
    kept = place[len(place) - (tensor.ndim - 2) :]
    return tensor[tuple(0 if n == 1 else i for i, n in zip(kept, tensor.shape[:-2], strict=True))]


def _unshared(share: Tensor, shared: int) -> Tensor:
    """The sum over the query heads that share a key head."""
    if shared == 1:
        return share
    heads = share.shape[-3] // shared
    return share.reshape(*share.shape[:-3], heads, shared, *share.shape[-2:]).sum(-3)


def _positions(lead: Index, rows: Tensor, columns: Tensor) -> Tensor:
    """Positions in one head, one a row."""
    head = torch.tensor([lead], dtype=torch.int64).reshape(1, len(lead)).expand(len(rows), -1)
    return torch.cat([head, rows[:, None], columns[:, None]], 1)


def _clipped(where: Tensor, tensor: Tensor) -> Tensor:
    """The positions in a tensor that is broadcast along some axes."""
    return aligned(where, tensor.shape)


RULES: tuple[Rule, ...] = (ScaledDotProductAttention(),)
