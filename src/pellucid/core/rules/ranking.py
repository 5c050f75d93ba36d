"""Entries in order of size: sort, top-k, and their places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.movement import copied
from pellucid.core.rules.sums import Index, Sum, constant, single

__all__ = ["RULES", "Ranking"]


class Ranking(Rule):
    """The entries along an axis in order; each output is a copy of the entry at its place, and so is the gradient."""

    formula = r"y_k=x_{(k)}"
    derivative = r"\frac{\partial y_k}{\partial x_i}=[i=(k)]"

    def __init__(self, name: str) -> None:
        self.names = (name,)
        if name == "topk":
            self.signature = "input, k, dim=-1, largest=True, sorted=True"
        elif name == "argsort":
            self.signature = "input, dim=-1, descending=False, stable=False"
        else:
            self.signature = "sort: input, dim=-1, descending=False, *, stable=False"

    def _order(self, args: Arguments) -> Tensor:
        """The places in order."""
        x, dim = args["input"].detach(), args["dim"]
        descending = args["largest"] if self.names[0] == "topk" else args["descending"]
        rank = (
            torch.argsort(x, dim=dim, descending=bool(descending), stable=True)
            if self.names[0] != "argsort"
            else (torch.sort(x, dim=dim, descending=bool(descending), stable=True).indices)
        )
        return rank.narrow(dim, 0, int(args["k"])) if "k" in args else rank

    def _places(self, args: Arguments, outputs: Sequence[Tensor] | None) -> Tensor:
        """The places in order, the observed ones where ties leave a choice."""
        ours, x, dim = self._order(args), args["input"].detach(), args["dim"]
        if outputs is None or not x.ndim:
            return ours
        theirs = outputs[-1]
        if args.get("sorted") is False:
            ours = torch.take_along_dim(ours, torch.argsort(torch.take_along_dim(x, ours, dim), dim=dim), dim)
            place = torch.argsort(torch.argsort(torch.take_along_dim(x, theirs, dim), dim=dim), dim=dim)
            ours = torch.take_along_dim(ours, place, dim)
        own, observed = torch.take_along_dim(x, ours, dim), torch.take_along_dim(x, theirs, dim)
        return torch.where((own == observed) | (torch.isnan(own) & torch.isnan(observed)), theirs, ours)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        places = self._places(args, outputs)
        if self.names[0] == "argsort":
            return (places,)
        x = args["input"].detach()
        return (torch.take_along_dim(x, places, args["dim"]) if x.ndim else x, places)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x = args["input"]
        if self.names[0] == "argsort" or not x.dtype.is_floating_point:
            return {}
        grad = upstream(outputs, grads).to(x.dtype)
        return {"input": torch.zeros_like(x).scatter(args["dim"], outputs[1], grad) if x.ndim else grad}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        place = int(outputs[-1][index])
        if output == len(outputs) - 1:
            return Sum.of([single("place", constant("place", float(place)))])
        dim = args["dim"] % max(len(index), 1)
        return Sum.of([copied("input", args["input"], (*index[:dim], place, *index[dim + 1 :]) if index else ())])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        if not index:
            return Sum.of([copied("grad", grad, ())])
        dim = args["dim"] % len(index)
        line = outputs[1][(*index[:dim], slice(None), *index[dim + 1 :])]
        hits = (line == index[dim]).nonzero().reshape(-1).tolist()
        blocks = [copied("grad", grad, (*index[:dim], place, *index[dim + 1 :])) for place in hits]
        return Sum.of(blocks, note="" if hits else "not among the chosen")


RULES: tuple[Rule, ...] = (Ranking("topk"), Ranking("sort"), Ranking("argsort"))
