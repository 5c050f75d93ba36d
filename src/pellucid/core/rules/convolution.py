"""Convolutions in one to three dimensions, plain and transposed.

Both link a small and a large image through a kernel: large place = stride · small place − padding + dilation · kernel
place. A convolution reads the large one and writes the small one, a transposed convolution the other way round.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.contraction import arithmetic_dtype
from pellucid.core.rules.indexing import positions, take
from pellucid.core.rules.sums import Block, Index, Sum, column, single

__all__ = ["RULES", "Convolution", "Link"]


@dataclass(frozen=True)
class Link:
    """How small and large places hang together.

    Args:
        stride: Large places from one small place to the next, for each axis.
        padding: Large places outside on the near side.
        dilation: Large places from one kernel place to the next.
        groups: Groups of channels that do not mix.
        kernel: The kernel's lengths.
        small: The small image's lengths.
        large: The large image's lengths.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    kernel: tuple[int, ...]
    small: tuple[int, ...]
    large: tuple[int, ...]

    def inside(self, axis: int, offset: int) -> tuple[slice, slice]:
        """(small places, large places) linked by one kernel place along an axis, as slices of equal length."""
        shift = offset * self.dilation[axis] - self.padding[axis]
        stride = self.stride[axis]
        first = max(0, -(shift // stride))
        last = min(self.small[axis] - 1, (self.large[axis] - 1 - shift) // stride)
        count = max(last - first + 1, 0)
        start = first * stride + shift
        if not count:
            return slice(0, 0), slice(0, 0)
        return slice(first, first + count), slice(start, start + (count - 1) * stride + 1, stride)

    def slices(self) -> list[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
        """(kernel place, small slices, large slices) for every kernel place."""
        found = []
        for place in itertools.product(*[range(n) for n in self.kernel]):
            pairs = [self.inside(axis, offset) for axis, offset in enumerate(place)]
            found.append((place, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)))
        return found


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """One number for each axis."""
    values = [value] if isinstance(value, int) else list(value)
    return tuple(int(v) for v in (values * rank if len(values) == 1 else values))


class Convolution(Rule):
    """Every output entry is the sum of window times kernel over the input channels, plus bias.

    ∂/∂input spreads the upstream gradient back through the kernel; ∂/∂weight sums input times upstream gradient over
    all places and examples, since the kernel is shared by all places.
    """

    cancels = True

    derivative = (
        r"\frac{\partial L}{\partial w_{ock}}=\sum_{n,p}\frac{\partial L}{\partial y_{nop}}x_{n,c,sp-P+dk},\;"
        r"\frac{\partial L}{\partial x_{nci}}=\sum_{o,k}\frac{\partial L}{\partial y_{n,o,(i+P-dk)/s}}w_{ock}"
    )

    def __init__(self, rank: int, transposed: bool) -> None:
        self._rank, self._transposed = rank, transposed
        self.names = (f"conv_transpose{rank}d" if transposed else f"conv{rank}d",)
        if transposed:
            self.signature = "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1"
            self.formula = r"y_{no,sp-P+dk}\mathrel{+}=\sum_c x_{ncp}\,w_{cok}"
        else:
            self.signature = "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1"
            self.formula = r"y_{nop}=\sum_{c,k}x_{n,c,sp-P+dk}\,w_{ock}+b_o"

    def _link(self, args: Arguments) -> Link:
        """The call's geometry."""
        rank, kernel = self._rank, tuple(args["weight"].shape[2:])
        stride, dilation = _each(args["stride"], rank), _each(args["dilation"], rank)
        own = tuple(args["input"].shape[-rank:])
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before, after = self._padding(args["padding"], reach)
        if self._transposed:
            extra = _each(args["output_padding"], rank)
            large = [
                (n - 1) * s - 2 * p + r + e + 1 for n, s, p, r, e in zip(own, stride, before, reach, extra, strict=True)
            ]
            return Link(stride, before, dilation, args["groups"], kernel, own, tuple(large))
        small = [(n + p + q - r - 1) // s + 1 for n, p, q, r, s in zip(own, before, after, reach, stride, strict=True)]
        return Link(stride, before, dilation, args["groups"], kernel, tuple(small), own)

    def _padding(self, padding: Any, reach: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padding before and after, for each axis."""
        if padding == "valid":
            return (0,) * len(reach), (0,) * len(reach)
        if padding == "same":
            before = tuple(r // 2 for r in reach)
            return before, tuple(r - b for r, b in zip(reach, before, strict=True))
        each = _each(padding, len(reach))
        return each, each

    def _batched(self, image: Tensor, link: Link) -> Tensor:
        """(batch, groups, channels of a group, places …)."""
        image = image.detach().to(arithmetic_dtype(image))
        image = image if image.ndim == self._rank + 2 else image[None]
        return image.reshape(image.shape[0], link.groups, image.shape[1] // link.groups, *image.shape[2:])

    def _kernel(self, args: Arguments, link: Link, dtype: torch.dtype) -> Tensor:
        """(groups, small channels of a group, large channels of a group, places …)."""
        weight = args["weight"].detach().to(dtype)
        return weight.reshape(link.groups, -1, *weight.shape[1:])

    def _read(self, large: Tensor, kernel: Tensor, link: Link) -> Tensor:
        """The small image: every kernel place times the large places under it."""
        total = large.new_zeros((*large.shape[:2], kernel.shape[1], *link.small))
        for place, small_at, large_at in link.slices():
            share = torch.einsum("ngc...,goc->ngo...", large[(..., *large_at)], kernel[(..., *place)])
            total[(..., *small_at)] += share
        return total

    def _spread(self, small: Tensor, kernel: Tensor, link: Link) -> Tensor:
        """The large image: every small place sent to the large places that the kernel links it with."""
        total = small.new_zeros((*small.shape[:2], kernel.shape[2], *link.large))
        for place, small_at, large_at in link.slices():
            share = torch.einsum("ngo...,goc->ngc...", small[(..., *small_at)], kernel[(..., *place)])
            total[(..., *large_at)] += share
        return total

    def _correlated(self, small: Tensor, large: Tensor, link: Link) -> Tensor:
        """The kernel's gradient: small times large, summed over batch and places."""
        total = small.new_zeros((link.groups, small.shape[2], large.shape[2], *link.kernel))
        for place, small_at, large_at in link.slices():
            ours, theirs = small[(..., *small_at)].flatten(3), large[(..., *large_at)].flatten(3)
            total[(..., *place)] = torch.einsum("ngop,ngcp->goc", ours, theirs)
        return total

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        link = self._link(args)
        image = self._batched(args["input"], link)
        kernel = self._kernel(args, link, image.dtype)
        value = (self._spread if self._transposed else self._read)(image, kernel, link)
        value = value.flatten(1, 2)
        if args.get("bias") is not None:
            value = value + args["bias"].detach().reshape(-1, *[1] * self._rank)
        value = value if args["input"].ndim == self._rank + 2 else value[0]
        return (value.to(outputs[0].dtype if outputs else args["input"].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        link = self._link(args)
        image, grad = self._batched(args["input"], link), self._batched(upstream(outputs, grads), link)
        kernel = self._kernel(args, link, image.dtype)
        x, weight, bias = args["input"], args["weight"], args.get("bias")
        by_input = (self._read if self._transposed else self._spread)(grad, kernel, link)
        by_weight = self._correlated(*((image, grad) if self._transposed else (grad, image)), link)
        found = {
            "input": by_input.reshape(x.shape).to(x.dtype),
            "weight": by_weight.reshape(weight.shape).to(weight.dtype),
        }
        if bias is not None:
            axes = [0, *range(3, grad.ndim)]
            found["bias"] = grad.sum(axes).reshape(bias.shape).to(bias.dtype)
        return found

    def _linked(
        self, link: Link, fixed: str, index: Index, free: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All linked (small, kernel, large) places given those of one of the three; ``free`` are leading free counts.

        Returns:
            The free counts' rows and the three places' rows, restricted to places inside the images.
        """
        counted = {"small": link.kernel, "large": link.kernel, "weight": link.small}[fixed]
        rows = positions([torch.arange(n) for n in (*free, *counted)])
        lead, other = rows[:, : len(free)], rows[:, len(free) :]
        own = torch.tensor(index, dtype=torch.int64).expand(len(rows), -1)
        stride, padding, dilation = (torch.tensor(v) for v in (link.stride, link.padding, link.dilation))
        if fixed == "large":
            kernel, large = other, own
            scaled = large + padding - dilation * kernel
            small = torch.div(scaled, stride, rounding_mode="floor")
            inside = (scaled % stride == 0).all(1)
        else:
            small, kernel = (own, other) if fixed == "small" else (other, own)
            large = stride * small - padding + dilation * kernel
            inside = torch.ones(len(rows), dtype=torch.bool)
        inside &= ((small >= 0) & (small < torch.tensor(link.small))).all(1)
        inside &= ((large >= 0) & (large < torch.tensor(link.large))).all(1)
        return lead[inside], small[inside], kernel[inside], large[inside]

    def _image_at(self, batch: Tensor | int, channel: Tensor | int, places: Tensor, unbatched: bool) -> Tensor:
        """Positions in an image."""
        rows = len(places)
        parts = [torch.as_tensor(v).expand(rows)[:, None] for v in ((channel,) if unbatched else (batch, channel))]
        return torch.cat([*parts, places], 1)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        block = self._products(args, "large" if self._transposed else "small", index, "input", args["input"])
        channel = index[-self._rank - 1]
        bias = args.get("bias")
        return Sum.of([block] if bias is None else [block, single("bias", column("bias", (channel,), bias[channel]))])

    def _products(self, args: Arguments, fixed: str, index: Index, name: str, image: Tensor) -> Block:
        """The terms of an entry of one image: the other image's entries times the kernel's."""
        link, unbatched = self._link(args), args["input"].ndim == self._rank + 1
        weight = args["weight"]
        smalls, larges = weight.shape[0] // link.groups, weight.shape[1]
        channel, places = index[-self._rank - 1], index[-self._rank :]
        own, others = (smalls, larges) if fixed == "small" else (larges, smalls)
        group, inner = channel // own, channel % own
        lead, small, kernel, large = self._linked(link, fixed, places, (others,))
        other = lead[:, 0]
        at = self._image_at(index[0], group * others + other, large if fixed == "small" else small, unbatched)
        first = channel if fixed == "small" else group * smalls + other
        second = other if fixed == "small" else inner
        at_weight = self._image_at(first, second, kernel, unbatched=False)
        factors = column(name, at, take(image, at)), column("weight", at_weight, take(weight, at_weight))
        return single(f"{name} · weight", *factors)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        if argument == "input":
            return Sum.of([self._products(args, "small" if self._transposed else "large", index, "grad", grad)])
        link, unbatched = self._link(args), args["input"].ndim == self._rank + 1
        batch = 1 if unbatched else args["input"].shape[0]
        if argument == "bias":
            rows = positions([torch.arange(n) for n in (batch, *grad.shape[-self._rank :])])
            at = self._image_at(rows[:, 0], index[0], rows[:, 1:], unbatched)
            return Sum.of([single("grad", column("grad", at, take(grad, at)))])
        smalls, larges = args["weight"].shape[0] // link.groups, args["weight"].shape[1]
        lead, small, _, large = self._linked(link, "weight", index[2:], (batch,))
        at_small = self._image_at(lead[:, 0], index[0], small, unbatched)
        at_large = self._image_at(lead[:, 0], index[0] // smalls * larges + index[1], large, unbatched)
        at_input, at_grad = (at_small, at_large) if self._transposed else (at_large, at_small)
        columns = column("grad", at_grad, take(grad, at_grad)), column("input", at_input, take(args["input"], at_input))
        return Sum.of([single("grad · input", *columns)])


RULES: tuple[Rule, ...] = tuple(Convolution(rank, transposed) for rank in (1, 2, 3) for transposed in (False, True))
