"""Counts, places and tests that let no gradient pass: histograms, searches in sorted numbers, near-equality."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.core.rules.base import Arguments, Rule
from pellucid.core.rules.verdicts import NoGradient

__all__ = ["RULES"]


def _histc(args: Arguments) -> Tensor:
    """How many numbers fall in each of equally wide bins; the last bin holds its upper end too."""
    x, bins = args["input"].detach().reshape(-1), int(args["bins"])
    low, high = float(args["min"]), float(args["max"])
    if low == high and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    inside = x[(x >= low) & (x <= high)]
    place = ((inside - low) / (high - low) * bins).floor().to(torch.int64).clamp(max=bins - 1)
    return torch.zeros(bins, dtype=torch.int64).index_add(0, place, torch.ones_like(place))


def _bincount(args: Arguments) -> Tensor:
    """How often (or with how much weight) each whole number occurs."""
    x, weights = args["input"], args.get("weights")
    size = max(int(args.get("minlength") or 0), int(x.max()) + 1 if x.numel() else 0)
    each = torch.ones_like(x, dtype=torch.int64) if weights is None else weights.detach()
    each = each.to(torch.float64) if each.dtype.is_floating_point else each
    return torch.zeros(size, dtype=each.dtype).index_add(0, x.to(torch.int64), each)


def _places(args: Arguments) -> Tensor | tuple[Tensor, ...]:
    """The positions of all entries that are not 0, in reading order."""
    x = args["input"].detach()
    numbers = torch.arange(x.numel())[(x != 0).reshape(-1)]
    found = torch.unravel_index(numbers, x.shape) if x.ndim else ()
    if args.get("as_tuple"):
        return tuple(found)
    return torch.stack(found, 1) if found else torch.zeros(len(numbers), 0, dtype=torch.int64)


def _isclose(args: Arguments) -> Tensor:
    """|a − b| ≤ atol + rtol·|b|."""
    a, b = torch.broadcast_tensors(args["input"].detach(), torch.as_tensor(args["other"]).detach())
    near = (a - b).abs() <= args["atol"] + args["rtol"] * b.abs()
    both = a.isnan() & b.isnan() if args.get("equal_nan") else torch.zeros_like(near)
    return (a == b) | (near & b.isfinite() & a.isfinite()) | both


def _isin(args: Arguments) -> Tensor:
    """Whether each number is among some others."""
    wanted = torch.as_tensor(args["elements"])
    among = (wanted[..., None] == torch.as_tensor(args["test_elements"]).reshape(-1)).any(-1)
    return ~among if args.get("invert") else among


def _heaviside(args: Arguments) -> Tensor:
    """0 below 0, 1 above, and a value of its own at 0."""
    x = args["input"].detach()
    step = torch.where(x > 0, torch.ones_like(x), torch.zeros_like(x))
    return torch.where(x == 0, args["values"].detach().to(x.dtype), torch.where(x.isnan(), x, step))


def _searched(borders: Tensor, wanted: Tensor, right: bool) -> Tensor:
    """How many borders lie below each number (with ``right``: at it too)."""
    borders, wanted = borders[..., None, :], wanted[..., None]
    return ((borders <= wanted) if right else (borders < wanted)).sum(-1)


def _searchsorted(args: Arguments) -> Tensor:
    """Where each number would go into a sorted row."""
    right = bool(args.get("right")) or args.get("side") == "right"
    borders, wanted = args["sorted_sequence"].detach(), torch.as_tensor(args["input"]).detach()
    if args.get("sorter") is not None:
        borders = borders.gather(-1, args["sorter"])
    if borders.ndim == 1:
        return _searched(borders, wanted.reshape(-1), right).reshape(wanted.shape)
    return _searched(borders, wanted, right)


def _bucketize(args: Arguments) -> Tensor:
    """Between which borders each number lies."""
    wanted = torch.as_tensor(args["input"]).detach()
    return _searched(args["boundaries"].detach(), wanted.reshape(-1), bool(args.get("right"))).reshape(wanted.shape)


RULES: tuple[Rule, ...] = (
    NoGradient("histc", "input, bins=100, min=0, max=0", _histc, "how many numbers fall in each bin"),
    NoGradient("bincount", "input, weights=None, minlength=0", _bincount, "how often each whole number occurs"),
    NoGradient("nonzero", "input, *, as_tuple=False", _places, "where the entries are that are not 0"),
    NoGradient("argwhere", "input", _places, "where the entries are that are not 0"),
    NoGradient("isclose", "input, other, rtol=1e-05, atol=1e-08, equal_nan=False", _isclose, "whether two are near"),
    NoGradient(
        "isin", "elements, test_elements, *, assume_unique=False, invert=False", _isin, "whether it is among them"
    ),
    NoGradient("heaviside", "input, values", _heaviside, "0 below 0, 1 above"),
    NoGradient(
        "searchsorted", "sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None",
        _searchsorted, "where it would go into the sorted row",
    ),
    NoGradient("bucketize", "input, boundaries, *, out_int32=False, right=False", _bucketize, "which bucket it is in"),
)  # fmt: skip
