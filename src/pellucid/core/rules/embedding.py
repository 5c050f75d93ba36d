"""Tables of vectors looked up by number, one by one (embedding) or in bags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import take, wide
from pellucid.core.rules.movement import copied
from pellucid.core.rules.sums import Index, Sum, column, single

__all__ = ["RULES", "Embedding", "EmbeddingBag"]


class Embedding(Rule):
    """y[i] = weight[input[i]]; a row's gradient is the sum of those at the places that looked it up."""

    names = ("embedding",)
    signature = "input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False"
    formula = r"y_{i}=W_{x_i}"
    derivative = r"\frac{\partial L}{\partial W_v}=\sum_{i:\,x_i=v}\frac{\partial L}{\partial y_i}"

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("max_norm") is None and isinstance(args.get("weight"), Tensor)

    def _padding(self, args: Arguments) -> int | None:
        """The row that gets no gradient."""
        padding = args.get("padding_idx")
        return None if padding is None else int(padding) % args["weight"].shape[0]

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return (args["weight"].detach()[args["input"]],)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        weight, rows = args["weight"], args["input"].reshape(-1)
        total = torch.zeros_like(weight)
        total.index_add_(0, rows, upstream(outputs, grads).reshape(len(rows), -1).to(weight.dtype))
        if args.get("scale_grad_by_freq"):
            total = total / torch.bincount(rows, minlength=len(weight)).clamp(min=1)[:, None]
        padding = self._padding(args)
        if padding is not None:
            total[padding] = 0
        return {"weight": total}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        row = int(args["input"][index[:-1]])
        return Sum.of([copied("weight", args["weight"], (row, index[-1]))])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        if index[0] == self._padding(args):
            return Sum.of([], note="the padding row gets no gradient")
        places = (args["input"] == index[0]).nonzero()
        where = torch.cat([places, torch.full((len(places), 1), index[1])], 1)
        columns = [column("grad", where, take(upstream(outputs, grads), where))]
        if args.get("scale_grad_by_freq"):
            columns.append(
                column("1/frequency", None, torch.full((len(places),), 1 / max(len(places), 1), dtype=torch.float64))
            )
        return Sum.of([single(columns[0].name, *columns)], note="" if len(places) else "never looked up in this batch")


class EmbeddingBag(Rule):
    """The sum (weighted if asked), mean or largest of the rows that each bag looks up, padding left out."""

    names = ("embedding_bag",)
    signature = (
        "input, weight, offsets=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, mode='mean',"
        " sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=None"
    )
    formula = r"y_b=\sum_{i\in b}s_i\,W_{x_i}"
    derivative = r"\frac{\partial L}{\partial W_v}=\sum_{i:\,x_i=v}s_i\frac{\partial L}{\partial y_{b(i)}}"

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("max_norm") is None and not args.get("scale_grad_by_freq") and isinstance(args["mode"], str)

    def _members(self, args: Arguments) -> tuple[Tensor, Tensor, Tensor, int]:
        """(rows looked up, their bags, which of the input's places they are, number of bags), padding left out."""
        rows = args["input"].reshape(-1)
        if args["input"].ndim == 2:
            count = args["input"].shape[0]
            bags = torch.arange(count).repeat_interleave(args["input"].shape[1])
        else:
            offsets = args["offsets"][:-1] if args["include_last_offset"] else args["offsets"]
            count = len(offsets)
            bags = torch.searchsorted(offsets.contiguous(), torch.arange(len(rows)), right=True) - 1
        places = torch.arange(len(rows))
        if args["padding_idx"] is not None:
            kept = rows != int(args["padding_idx"]) % args["weight"].shape[0]
            rows, bags, places = rows[kept], bags[kept], places[kept]
        return rows, bags, places, count

    def _shares(self, args: Arguments) -> Tensor:
        """For each row looked up and each column its factor in its bag, shape (members, columns or 1), in float64."""
        rows, bags, places, count = self._members(args)
        if args["mode"] == "sum":
            weights = args["per_sample_weights"]
            ones = torch.ones(len(rows), 1, dtype=torch.float64)
            return ones if weights is None else wide(weights.detach()).reshape(-1, 1)[places]
        if args["mode"] == "mean":
            return 1 / torch.bincount(bags, minlength=count)[bags][:, None].to(torch.float64)
        values = args["weight"].detach()[rows]
        shares = torch.zeros(values.shape, dtype=torch.float64)
        for bag in bags.unique():
            own = (bags == bag).nonzero().reshape(-1)
            shares[own[values[own].argmax(0)], torch.arange(values.shape[1])] = 1
        return shares

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        rows, bags, _, count = self._members(args)
        weight = args["weight"].detach()
        value = torch.zeros(count, weight.shape[1], dtype=torch.float64)
        value.index_add_(0, bags, self._shares(args) * wide(weight)[rows])
        return (value.to(weight.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        rows, bags, places, _ = self._members(args)
        grad, weight, samples = wide(upstream(outputs, grads)), args["weight"], args["per_sample_weights"]
        total = torch.zeros(weight.shape, dtype=torch.float64)
        total.index_add_(0, rows, self._shares(args) * grad[bags])
        found = {"weight": total.to(weight.dtype)}
        if samples is not None:
            flat = torch.zeros(samples.numel(), dtype=torch.float64)
            flat[places] = (grad[bags] * wide(weight.detach())[rows]).sum(1)
            found["per_sample_weights"] = flat.reshape(samples.shape).to(samples.dtype)
        return found

    def _columns(self, args: Arguments, which: Tensor, column_index: int) -> list[Any]:
        """The shares of some members as a factor, where they are not all 1."""
        shares = self._shares(args)[which]
        values = shares[:, column_index if shares.shape[1] > 1 else 0]
        name = {"sum": "per_sample_weights", "mean": "1/count", "max": "is largest"}[args["mode"]]
        return [] if args["mode"] == "sum" and args["per_sample_weights"] is None else [column(name, None, values)]

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        rows, bags, _, _ = self._members(args)
        which = (bags == index[0]).nonzero().reshape(-1)
        where = torch.stack([rows[which], torch.full((len(which),), index[1])], 1)
        columns = [column("weight", where, take(args["weight"], where)), *self._columns(args, which, index[1])]
        return Sum.of([single(" · ".join(c.name for c in columns), *columns)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        (rows, bags, places, _), grad = self._members(args), upstream(outputs, grads)
        if argument == "per_sample_weights":
            place = index[0] if len(index) == 1 else index[0] * args["input"].shape[1] + index[1]
            which = (places == place).nonzero().reshape(-1)
            size = args["weight"].shape[1]
            every = torch.arange(size * len(which)) % max(size, 1)
            at = torch.stack([bags[which].repeat_interleave(size), every], 1)
            where = torch.stack([rows[which].repeat_interleave(size), every], 1)
            factors = column("grad", at, take(grad, at)), column("weight", where, take(args["weight"], where))
            return Sum.of([single("grad · weight", *factors)])
        which = (rows == index[0]).nonzero().reshape(-1)
        at = torch.stack([bags[which], torch.full((len(which),), index[1])], 1)
        columns = [column("grad", at, take(grad, at)), *self._columns(args, which, index[1])]
        return Sum.of([single(" · ".join(c.name for c in columns), *columns)])


RULES: tuple[Rule, ...] = (Embedding(), EmbeddingBag())
