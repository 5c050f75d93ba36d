"""Pooling: the largest or the mean of every window, regular or fitted to an output size; smooth interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.axis_tables import AxisMatrices
from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import positions, scatter_sum, take
from pellucid.core.rules.movement import copied
from pellucid.core.rules.padding import output_sizes
from pellucid.core.rules.sums import Index, Number, Sum, column, constant, single

__all__ = [
    "RULES",
    "AdaptiveAveragePool",
    "AveragePool",
    "MaxPool",
    "SmoothInterpolation",
    "each",
    "fitted",
    "window_count",
]


def each(value: Any, rank: int, default: Any = None) -> list[int]:
    """One number for each axis; ``default`` for None and empty."""
    if value is None or (isinstance(value, list | tuple) and not value):
        value = default
    values = [value] * rank if isinstance(value, int) else list(value)
    return [int(v) for v in (values * rank if len(values) == 1 else values)]


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool) -> int:
    """⌊(n + 2p − d(k − 1) − 1)/s⌋ + 1 windows, or rounded up, but none that starts beyond the far padding."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def fitted(size: int, count: int) -> list[tuple[int, int]]:
    """Windows of adaptive pooling: from ⌊i n/m⌋ to ⌈(i + 1) n/m⌉."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _target_sizes(args: Arguments, rank: int) -> list[int]:
    """The output size of adaptive pooling; None keeps an axis."""
    wanted = args["output_size"]
    wanted = [wanted] * rank if isinstance(wanted, int) or wanted is None else list(wanted)
    return [size if want is None else want for size, want in zip(args["input"].shape[-rank:], wanted, strict=True)]


class MaxPool(Rule):
    """The largest entry of every window (the first of them at a tie); only that one gets the gradient."""

    formula = r"y_p=\max_{i\in W(p)}x_i"
    derivative = r"\frac{\partial y_p}{\partial x_i}=[i=\arg\max_{W(p)}x]"

    def __init__(self, rank: int, adaptive: bool) -> None:
        self._rank, self._adaptive = rank, adaptive
        self.names = (f"adaptive_max_pool{rank}d" if adaptive else f"max_pool{rank}d",)
        if adaptive:
            self.signature = "input, output_size, return_indices=False"
        else:
            self.signature = (
                "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False"
            )

    def _tables(self, args: Arguments) -> list[Tensor]:
        """For each axis the places of every window, shape (windows, width); −1 outside the image."""
        sizes, rank = args["input"].shape[-self._rank :], self._rank
        if self._adaptive:
            tables = []
            for size, count in zip(sizes, _target_sizes(args, rank), strict=True):
                windows = fitted(size, count)
                width = max((stop - start for start, stop in windows), default=1)
                starts = torch.tensor([start for start, _ in windows])[:, None]
                stops = torch.tensor([stop for _, stop in windows])[:, None]
                places = starts + torch.arange(width)
                tables.append(torch.where(places < stops, places, -1))
            return tables
        kernel = each(args["kernel_size"], rank)
        stride = each(args.get("stride"), rank, kernel)
        padding, dilation = each(args["padding"], rank), each(args["dilation"], rank)
        tables = []
        for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
            count = window_count(size, k, s, p, d, ceil_mode=bool(args.get("ceil_mode")))
            places = torch.arange(count)[:, None] * s - p + torch.arange(k) * d
            tables.append(torch.where((places >= 0) & (places < size), places, -1))
        return tables

    def _numbers(self, tables: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
        """Row-major numbers of all windows' places, shape (windows …, width of all axes); −1 outside."""
        rank = len(tables)
        total, outside = torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.bool)
        for axis, table in enumerate(tables):
            shape = [1] * (2 * rank)
            shape[axis], shape[rank + axis] = table.shape
            total = total * sizes[axis] + table.reshape(shape)
            outside = outside | (table.reshape(shape) < 0)
        total = torch.where(outside, -1, total)
        return total.reshape(*total.shape[:rank], -1)

    def _best(self, args: Arguments) -> Tensor:
        """The numbers of the winners, shape of the output."""
        x, rank = args["input"].detach(), self._rank
        numbers = self._numbers(self._tables(args), x.shape[-rank:])
        flat = x.flatten(x.dim() - rank)
        windows = torch.where(numbers >= 0, flat[..., numbers.clamp(min=0)], -torch.inf)
        unclear = torch.isnan(windows)
        top = torch.where(unclear.any(-1, keepdim=True), torch.nan, windows.amax(-1, keepdim=True))
        wins = ((windows == top) | unclear) & (numbers >= 0)
        order = torch.arange(numbers.shape[-1])
        last = unclear.any(-1, keepdim=True)
        first = torch.where(wins, order, numbers.shape[-1]).amin(-1, keepdim=True)
        first = torch.where(last, torch.where(wins, order, -1).amax(-1, keepdim=True), first)
        return torch.take_along_dim(numbers.expand(windows.shape), first, -1)[..., 0]

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x, best = args["input"].detach(), self._best(args)
        inner = x.dim() - self._rank
        values = torch.take_along_dim(x.flatten(inner), best.flatten(inner), -1).reshape(best.shape)
        wanted = len(outputs) > 1 if outputs else bool(args.get("return_indices"))
        return (values, best) if wanted else (values,)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x, best, grad = args["input"], self._best(args), upstream(outputs, grads)
        lead, size = math.prod(x.shape[: -self._rank]), math.prod(x.shape[-self._rank :])
        numbers = best.reshape(lead, math.prod(best.shape[-self._rank :])) + torch.arange(lead)[:, None] * size
        return {"input": scatter_sum(grad, numbers, x.shape).to(x.dtype)}

    def _window(self, args: Arguments, index: Index) -> tuple[Tensor, Tensor]:
        """(positions in the input, their values) of one window."""
        tables, rank = self._tables(args), self._rank
        lead = [torch.tensor([i]) for i in index[: len(index) - rank]]
        rows = [table[i] for table, i in zip(tables, index[len(index) - rank :], strict=True)]
        where = positions([*lead, *[row[row >= 0] for row in rows]])
        return where, take(args["input"], where)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        where, values = self._window(args, index)
        top = outputs[0].detach()[index]
        hits = ((values == top) | (torch.isnan(values) & torch.isnan(top))).nonzero().reshape(-1)
        best = tuple(where[hits[0]].tolist())
        ties = f"{len(hits)} entries of the window tie; the first one counts" if len(hits) > 1 else ""
        others = f"the largest of {len(values)} entries" if len(hits) == 1 else ties
        if output == 1:
            return Sum.of([single("place", constant("place", float(outputs[1][index])))], note=ties)
        return Sum.of([copied("input", args["input"], best)], note=others)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad, rank = upstream(outputs, grads), self._rank
        tables = self._tables(args)
        axes = [(t == i).any(1).nonzero().reshape(-1) for t, i in zip(tables, index[-rank:], strict=True)]
        lead = [torch.tensor([i]) for i in index[: len(index) - rank]]
        chosen, missed = [], 0
        for row in positions([*lead, *axes]).tolist():
            where, values = self._window(args, tuple(row))
            hits = (
                torch.isnan(values).nonzero() if bool(torch.isnan(values).any()) else (values == values.max()).nonzero()
            )
            winner = where[int(hits[-1] if bool(torch.isnan(values).any()) else hits[0])]
            if tuple(winner.tolist()) == tuple(index):
                chosen.append(row)
            else:
                missed += 1
        at = torch.tensor(chosen, dtype=torch.int64).reshape(len(chosen), grad.ndim)
        note = f"another entry is larger (or first) in {missed} of {missed + len(chosen)} windows" if missed else ""
        return Sum.of([single("grad", column("grad", at, take(grad, at)))], note=note)


class AveragePool(AxisMatrices):
    """The mean of every window; slope 1/count. Padding counts unless ``count_include_pad`` is off."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self.names = (f"avg_pool{rank}d",)
        self.signature = (
            "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None"
        )
        self.formula = r"y_p=\frac{1}{|W(p)|}\sum_{i\in W(p)}x_i"

    @override
    def matrices(self, args: Arguments) -> list[Tensor]:
        rank, override_by = self._rank, args.get("divisor_override")
        kernel = each(args["kernel_size"], rank)
        stride, padding = each(args.get("stride"), rank, kernel), each(args["padding"], rank)
        found = []
        for axis, (size, k, s, p) in enumerate(zip(args["input"].shape[-rank:], kernel, stride, padding, strict=True)):
            count = window_count(size, k, s, p, 1, ceil_mode=bool(args.get("ceil_mode")))
            starts = torch.arange(count) * s - p
            stops = (starts + k).clamp(max=size + p)
            places = torch.arange(size)
            inside = (places >= starts[:, None]) & (places < stops[:, None])
            counted = stops - starts if args.get("count_include_pad", True) else inside.sum(1)
            if override_by is not None:
                counted = torch.full((count,), override_by if axis == 0 else 1)
            found.append(inside.to(torch.float64) / counted[:, None])
        return found


class AdaptiveAveragePool(AxisMatrices):
    """The mean of windows from ⌊i n/m⌋ to ⌈(i + 1) n/m⌉, so that m come out."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self.names = (f"adaptive_avg_pool{rank}d",)
        self.signature = "input, output_size"
        self.formula = r"y_p=\frac{1}{|W(p)|}\sum_{i\in W(p)}x_i"

    @override
    def matrices(self, args: Arguments) -> list[Tensor]:
        rank = self._rank
        found = []
        for size, count in zip(args["input"].shape[-rank:], _target_sizes(args, rank), strict=True):
            found.append(_window_means(size, count))
        return found


def _window_means(size: int, count: int) -> Tensor:
    """The matrix of adaptive means."""
    matrix = torch.zeros(count, size, dtype=torch.float64)
    for row, (start, stop) in enumerate(fitted(size, count)):
        matrix[row, start:stop] = 1 / (stop - start)
    return matrix


class SmoothInterpolation(AxisMatrices):
    """Linear or cubic interpolation (Keys 1981, a = −¾), or means (``area``), one axis after the other."""

    cancels = True

    names = ("interpolate", "upsample", "upsample_bilinear")
    signature = "input, size=None, scale_factor=None, mode='nearest', align_corners=None"
    taps = {"linear": 1, "bilinear": 1, "trilinear": 1, "bicubic": 2}  # noqa: RUF012 - a constant mapping

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("mode") in (*self.taps, "area") and not args.get("antialias")

    @override
    def matrices(self, args: Arguments) -> list[Tensor]:
        sizes, scales = output_sizes(args["input"], args)
        own = args["input"].shape[2:]
        if args["mode"] == "area":
            return [_window_means(size, count) for size, count in zip(own, sizes, strict=True)]
        reach, corners = self.taps[args["mode"]], bool(args.get("align_corners"))
        return [
            self._matrix(size, count, scale, reach, corners)
            for size, count, scale in zip(own, sizes, scales, strict=True)
        ]

    def _matrix(self, size: int, count: int, scale: Number, reach: int, corners: bool) -> Tensor:
        """The weights along one axis: each output place lies between input places."""
        steps = torch.arange(count, dtype=torch.float64)
        if corners:
            at = steps * ((size - 1) / (count - 1) if count > 1 else 0.0)
        else:
            at = (steps + 0.5) * scale - 0.5
            at = at.clamp(min=0) if reach == 1 else at
        base = torch.floor(at)
        rest = at - base
        matrix = torch.zeros(count, size, dtype=torch.float64)
        for tap in range(1 - reach, reach + 1):
            place = (base.to(torch.int64) + tap).clamp(0, size - 1)
            weight = _kernel((rest - tap).abs(), reach)
            matrix.scatter_add_(1, place[:, None], weight[:, None])
        return matrix


def _kernel(distance: Tensor, reach: int) -> Tensor:
    """The weight of a place by its distance: a triangle, or Keys' cubic."""
    if reach == 1:
        return 1 - distance
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, far)


RULES: tuple[Rule, ...] = (
    *(MaxPool(rank, adaptive) for rank in (1, 2, 3) for adaptive in (False, True)),
    *(AveragePool(rank) for rank in (1, 2, 3)),
    *(AdaptiveAveragePool(rank) for rank in (1, 2, 3)),
    SmoothInterpolation(),
)
