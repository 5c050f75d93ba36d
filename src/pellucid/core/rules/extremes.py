"""The largest, smallest and middle entries of groups, and their places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.groups import axes_of, group_key, member, restored
from pellucid.core.rules.movement import copied
from pellucid.core.rules.reductions import Reduction
from pellucid.core.rules.sums import Column, Index, Number, Sum, column, constant, single

__all__ = ["RULES", "Extreme", "ExtremeAlong"]


class Extreme(Reduction):
    """The largest (smallest) entry; the slope is 1, shared among ties."""

    def __init__(self, name: str, largest: bool) -> None:
        self.names = (name,)
        self.formula = r"y=\max_i x_i" if largest else r"y=\min_i x_i"
        self._largest = largest
        self.signature = "input, dim=(), keepdim=False" if name.startswith("a") else "input"

    @override
    def applies(self, args: Arguments) -> bool:
        return self.names[0].startswith("a") or set(args) == {"input"}

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        for axis in axes:
            ordered = x.sort(axis, descending=self._largest).values.narrow(axis, 0, 1)
            unclear = torch.isnan(x).any(axis, keepdim=True)
            x = torch.where(unclear, torch.nan, ordered) if x.dtype.is_floating_point else ordered
        return x

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        hit = (x == y).to(x.dtype)
        return hit / hit.sum(axes, keepdim=True) if axes else hit

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        hits = (x == y).nonzero().reshape(-1)
        share = constant("1/ties", 1 / max(len(hits), 1), len(hits))
        columns = [column("input", where[hits], x[hits])]
        return "input", columns if len(hits) == 1 else [*columns, share]


class ExtremeAlong(Rule):
    """The largest (smallest, middle) entry along an axis and its place; the chosen entry has slope 1, the others 0."""

    formula = r"y=x_{i^*},\;i^*=\arg\max_i x_i"
    derivative = r"\frac{\partial y}{\partial x_i}=[i=i^*]"

    def __init__(self, name: str) -> None:
        self.names = (name,)
        self.signature = (
            ("input, k, dim=-1, keepdim=False" if name == "kthvalue" else "input, dim=-1, keepdim=False")
            if name in ("kthvalue", "mode")
            else "input, dim, keepdim=False"
        )

    @override
    def applies(self, args: Arguments) -> bool:
        return "keepdim" in args and isinstance(args.get("dim"), int) and not isinstance(args.get("dim"), bool)

    def _place(self, x: Tensor, dim: int, args: Arguments) -> Tensor:
        """The places of the chosen entries, the axis kept."""
        if x.shape[dim] == 0:
            return torch.zeros((*x.shape[:dim], 0, *x.shape[dim + 1 :]), dtype=torch.int64)
        rank = {"max": 0, "min": 0, "median": (x.shape[dim] - 1) // 2}.get(self.names[0], int(args.get("k", 1)) - 1)
        order = torch.sort(x, dim=dim, descending=self.names[0] == "max", stable=True).indices
        return order.narrow(dim, rank, 1)

    def _chosen(self, args: Arguments, outputs: Sequence[Tensor]) -> Tensor:
        """The observed places, the axis kept."""
        return restored(outputs[1], axes_of(args["dim"], args["input"].ndim), args["keepdim"])

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x = args["input"].detach()
        if x.ndim == 0:
            return x, torch.tensor(0)
        dim = args["dim"] % x.ndim
        place = self._place(x, dim, args) if outputs is None else self._tied(args, x, dim, outputs)
        value = torch.take_along_dim(x, place, dim)
        return (value, place) if args["keepdim"] else (value.squeeze(dim), place.squeeze(dim))

    def _tied(self, args: Arguments, x: Tensor, dim: int, outputs: Sequence[Tensor]) -> Tensor:
        """Our places, but the observed ones where both hold the same number (a tie may be broken either way)."""
        ours, theirs = self._place(x, dim, args), self._chosen(args, outputs)
        same = torch.take_along_dim(x, ours, dim) == torch.take_along_dim(x, theirs, dim)
        return torch.where(same, theirs, ours)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x = args["input"]
        if not x.dtype.is_floating_point:
            return {}
        grad = restored(upstream(outputs, grads), axes_of(args["dim"], x.ndim), args["keepdim"])
        if x.ndim == 0:
            return {"input": grad.reshape(())}
        return {"input": torch.zeros_like(x).scatter(args["dim"], self._chosen(args, outputs), grad.to(x.dtype))}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        x = args["input"]
        dim = args["dim"] % max(x.ndim, 1)
        key = group_key(index, (dim,), x.ndim, args["keepdim"]) if x.ndim else ()
        place = int(outputs[1][index])
        where = tuple(place if isinstance(k, slice) else k for k in key)
        ties = int((x[key] == x[where]).sum()) if x.ndim else 1
        note = f"{ties} entries tie; place {place} was taken" if ties > 1 else ""
        if output == 1:
            return Sum.of([single("place", constant("place", place))], note=note)
        return Sum.of([copied("input", x, where)], note=note)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        if not index:
            return Sum.of([copied("grad", upstream(outputs, grads), ())])
        kept, (place,) = member(index, axes_of(args["dim"], len(index)), args["keepdim"])
        if int(outputs[1][kept]) != place:
            return Sum.of([], note="another entry was taken")
        return Sum.of([copied("grad", upstream(outputs, grads), kept)])


RULES: tuple[Rule, ...] = (
    Extreme("amax", True),
    Extreme("max", True),
    Extreme("amin", False),
    Extreme("min", False),
    *(ExtremeAlong(name) for name in ("max", "min", "median", "kthvalue")),
)
