"""Several tensors made one: end to end, or along a new axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.movement import copied
from pellucid.core.rules.sums import Index, Sum

__all__ = ["RULES", "Concatenation", "Stack"]


class Concatenation(Rule):
    """Tensors end to end along an axis. Each gets back its own stretch of the gradient."""

    names = ("cat",)
    signature = "tensors, dim=0"
    formula = r"y=[x_0;x_1;\dots]"
    derivative = r"\frac{\partial L}{\partial x_k}=\frac{\partial L}{\partial y}[\text{the stretch of }x_k]"

    @override
    def applies(self, args: Arguments) -> bool:
        tensors = args.get("tensors")
        return "dim" in args and isinstance(tensors, list | tuple) and all(isinstance(t, Tensor) for t in tensors)

    def _stretches(self, args: Arguments) -> tuple[int, list[tuple[int, int, Tensor]]]:
        """The axis, and (place, start, tensor) of every tensor that takes part; old-style empty ones do not."""
        taking = [(i, t) for i, t in enumerate(args["tensors"]) if not (t.ndim == 1 and t.numel() == 0)]
        rank = taking[0][1].ndim if taking else 1
        dim, start, found = args["dim"] % rank, 0, []
        for place, tensor in taking:
            found.append((place, start, tensor))
            start += tensor.shape[dim]
        return dim, found

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        dim, stretches = self._stretches(args)
        tensors = args["tensors"]
        if not stretches:
            return (tensors[0].detach(),)
        dtype = tensors[0].dtype
        for tensor in tensors[1:]:
            dtype = torch.promote_types(dtype, tensor.dtype)
        sizes = list(stretches[0][2].shape)
        sizes[dim] = sum(t.shape[dim] for _, _, t in stretches)
        joined = torch.empty(sizes, dtype=dtype, device=tensors[0].device)
        for _, start, tensor in stretches:
            joined[(*[slice(None)] * dim, slice(start, start + tensor.shape[dim]))] = tensor.detach()
        return (joined,)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        (dim, stretches), grad = self._stretches(args), upstream(outputs, grads)
        found = {f"tensors[{i}]": torch.zeros_like(t) for i, t in enumerate(args["tensors"])}
        for place, start, tensor in stretches:
            own = grad[(*[slice(None)] * dim, slice(start, start + tensor.shape[dim]))]
            found[f"tensors[{place}]"] = own.to(tensor.dtype)
        return {name: t for name, t in found.items() if t.dtype.is_floating_point}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        dim, stretches = self._stretches(args)
        place, start, tensor = [s for s in stretches if s[1] <= index[dim] and s[2].shape[dim] > 0][-1]
        own = (*index[:dim], index[dim] - start, *index[dim + 1 :])
        return Sum.of([copied(f"tensors[{place}]", tensor, own)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        dim, stretches = self._stretches(args)
        start = next(s for place, s, _ in stretches if argument == f"tensors[{place}]")
        return Sum.of([copied("grad", upstream(outputs, grads), (*index[:dim], index[dim] + start, *index[dim + 1 :]))])


class Stack(Rule):
    """Tensors of one shape along a new axis. Each gets back its own slice of the gradient."""

    names = ("stack",)
    signature = "tensors, dim=0"
    formula = r"y_{k\cdot}=x_k"
    derivative = r"\frac{\partial L}{\partial x_k}=\frac{\partial L}{\partial y_{k\cdot}}"

    def _dim(self, args: Arguments) -> int:
        """The new axis, counted from the front."""
        return args["dim"] % (args["tensors"][0].ndim + 1)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        tensors, dim = [t.detach() for t in args["tensors"]], self._dim(args)
        widened = [t.reshape(*t.shape[:dim], 1, *t.shape[dim:]) for t in tensors]
        return (torch.cat(widened, dim),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, dim = upstream(outputs, grads), self._dim(args)
        slices = {f"tensors[{i}]": (t, grad[(*[slice(None)] * dim, i)]) for i, t in enumerate(args["tensors"])}
        return {name: own.to(t.dtype) for name, (t, own) in slices.items() if t.dtype.is_floating_point}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        dim = self._dim(args)
        own = (*index[:dim], *index[dim + 1 :])
        return Sum.of([copied(f"tensors[{index[dim]}]", args["tensors"][index[dim]], own)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        dim, place = self._dim(args), int(argument.removeprefix("tensors[").rstrip("]"))
        return Sum.of([copied("grad", upstream(outputs, grads), (*index[:dim], place, *index[dim:]))])


RULES: tuple[Rule, ...] = (Concatenation(), Stack())
