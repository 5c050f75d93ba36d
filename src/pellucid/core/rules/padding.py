"""Borders, rolls, reversals and repetitions: each axis is read by a table of places."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.axis_tables import AxisTables
from pellucid.core.rules.base import Arguments, Rule
from pellucid.core.rules.sums import Number

__all__ = ["RULES", "Flip", "NearestInterpolation", "Pad", "Repeat", "RepeatInterleave", "Roll", "output_sizes"]


def _plain(x: Tensor) -> list[Tensor]:
    """Tables that change nothing."""
    return [torch.arange(size) for size in x.shape]


class Pad(AxisTables):
    """A border round the last axes: a constant, the edge repeated, mirrored, or wrapped round."""

    names = ("pad", "constant_pad_nd")
    signature = "input, pad, mode='constant', value=None"

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        x, pad, tables = args["input"], args["pad"], _plain(args["input"])
        for pair in range(len(pad) // 2):
            axis = x.ndim - 1 - pair
            size = x.shape[axis]
            places = torch.arange(-int(pad[2 * pair]), size + int(pad[2 * pair + 1]))
            tables[axis] = self._inside(places, size, args.get("mode") or "constant")
        return tables

    def _inside(self, places: Tensor, size: int, mode: str) -> Tensor:
        """Places outside [0, size) brought inside, or −1."""
        if mode == "constant":
            return torch.where((places >= 0) & (places < size), places, -1)
        if mode == "replicate":
            return places.clamp(0, size - 1)
        if mode == "circular":
            return places % size
        mirrored = places.abs()
        return torch.where(mirrored >= size, 2 * (size - 1) - mirrored, mirrored)

    @override
    def fill(self, args: Arguments) -> Number:
        return float(args.get("value") or 0.0)


class Roll(AxisTables):
    """Places moved on, those that leave at one end come in at the other."""

    names = ("roll",)
    signature = "input, shifts, dims=()"

    @override
    def applies(self, args: Arguments) -> bool:
        return bool(self._pairs(args)) or args["input"].ndim == 1

    def _pairs(self, args: Arguments) -> list[tuple[int, int]]:
        """(shift, axis) pairs."""
        shifts, dims = args["shifts"], args["dims"]
        shifts = [shifts] if isinstance(shifts, int) else list(shifts)
        dims = [dims] if isinstance(dims, int) else list(dims or [])
        return list(zip(shifts, dims if dims else [0] * (args["input"].ndim == 1), strict=False))

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        tables = _plain(args["input"])
        for shift, dim in self._pairs(args):
            table = tables[dim]
            tables[dim] = table[(torch.arange(len(table)) - shift) % max(len(table), 1)]
        return tables


class Flip(AxisTables):
    """Axes read backwards."""

    names = ("flip",)
    signature = "input, *dims"

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        tables = _plain(args["input"])
        for dim in args["dims"]:
            tables[dim] = torch.arange(len(tables[dim]) - 1, -1, -1)
        return tables

    @override
    def applies(self, args: Arguments) -> bool:
        return "dims" in args


class Repeat(AxisTables):
    """The whole tensor several times along each axis (``repeat``, ``tile``)."""

    names = ("repeat", "tile")
    signature = "repeat: input, *repeats | tile: input, *repeats"

    @override
    def applies(self, args: Arguments) -> bool:
        return isinstance(args.get("input"), Tensor) and "repeats" in args

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        x = args["input"]
        counts = [int(n) for n in args["repeats"]]
        counts = [1] * (x.ndim - len(counts)) + counts
        shape = [1] * (len(counts) - x.ndim) + list(x.shape)
        return [torch.arange(size * count) % max(size, 1) for size, count in zip(shape, counts, strict=True)]

    @override
    def forward(self, args: Arguments, outputs: Any = None) -> tuple[Tensor, ...]:
        return super().forward(self._full(args), outputs)

    @override
    def backward(self, args: Arguments, outputs: Any, grads: Any) -> dict[str, Tensor]:
        found = super().backward(self._full(args), outputs, grads)
        return {name: t.reshape(args[name].shape) for name, t in found.items()}

    def _full(self, args: Arguments) -> dict[str, Any]:
        """The call with the input's missing leading axes put in."""
        x = args["input"]
        missing = max(len(args["repeats"]) - x.ndim, 0)
        return dict(args) | {"input": x.reshape(*[1] * missing, *x.shape)}


class RepeatInterleave(AxisTables):
    """Each place several times in a row."""

    names = ("repeat_interleave",)
    signature = "input, repeats, dim=None, *, output_size=None"

    @override
    def applies(self, args: Arguments) -> bool:
        return isinstance(args.get("input"), Tensor) and (args.get("dim") is not None or args["input"].ndim == 1)

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        tables, repeats = _plain(args["input"]), args["repeats"]
        dim = args["dim"] or 0
        size = len(tables[dim])
        counts = [int(repeats)] * size if not isinstance(repeats, Tensor) or repeats.numel() == 1 else repeats.tolist()
        tables[dim] = torch.tensor([place for place, n in enumerate(counts) for _ in range(n)], dtype=torch.int64)
        return tables


class NearestInterpolation(AxisTables):
    """Each output place takes the input place ⌊i · scale⌋ (``nearest``), or ⌊(i + ½) · scale⌋ (``nearest-exact``)."""

    names = ("interpolate", "upsample", "upsample_nearest")
    signature = "input, size=None, scale_factor=None, mode='nearest', align_corners=None"
    half = 0.5

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("mode", "nearest") in ("nearest", "nearest-exact")

    @override
    def tables(self, args: Arguments) -> list[Tensor]:
        x = args["input"]
        rank = x.ndim - 2
        sizes, scales = output_sizes(x, args)
        tables = _plain(x)
        shift = self.half if args.get("mode") == "nearest-exact" else 0.0
        for k in range(rank):
            size = x.shape[2 + k]
            places = torch.floor((torch.arange(sizes[k], dtype=torch.float32) + shift) * torch.tensor(scales[k]))
            tables[2 + k] = places.to(torch.int64).clamp(0, size - 1)
        return tables


def output_sizes(x: Tensor, args: Arguments) -> tuple[list[int], list[float]]:
    """The output's lengths, and how many input places an output place is apart (PyTorch: 1/scale_factor if given)."""
    rank = x.ndim - 2
    size, factor = args.get("size"), args.get("scale_factor") or 1.0
    if size is not None:
        sizes = [int(size)] * rank if isinstance(size, int) else [int(n) for n in size]
        return sizes, [own / new for own, new in zip(x.shape[2:], sizes, strict=True)]
    factors = [float(factor)] * rank if isinstance(factor, Number) else [float(f) for f in factor]
    sizes = [math.floor(own * f) for own, f in zip(x.shape[2:], factors, strict=True)]
    if args.get("recompute_scale_factor"):
        return sizes, [own / new for own, new in zip(x.shape[2:], sizes, strict=True)]
    return sizes, [1.0 / f for f in factors]


RULES: tuple[Rule, ...] = (Pad(), Roll(), Flip(), Repeat(), RepeatInterleave(), NearestInterpolation())
