"""Entries picked and placed by index tensors and masks: indexing, gather, take, scatter, masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Rule
from pellucid.core.rules.movement import Layout, Numbered, Strided, row_major
from pellucid.core.rules.shaping import basic_layout

__all__ = [
    "RULES",
    "BasicIndex",
    "Gather",
    "IndexSelect",
    "Take",
    "TensorIndex",
    "along",
    "index_numbers",
    "indexed_numbers",
    "sliced_numbers",
]


def _parts(key: Any, ndim: int) -> list[Any]:
    """A key's parts, one for each axis and None, with ``...`` written out and lists and masks as index tensors."""
    parts = list(key) if isinstance(key, tuple) else [key]
    opened: list[Any] = []
    for part in map(_as_index, parts):
        if isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8):
            opened += part.nonzero().unbind(1)
        elif isinstance(part, Tensor) and part.ndim == 0:
            opened.append(int(part))
        else:
            opened.append(part)
    used = sum(part is not None and part is not Ellipsis for part in opened)
    place = next((i for i, part in enumerate(opened) if part is Ellipsis), len(opened))
    filled = [slice(None)] * (ndim - used)
    return opened[:place] + filled + [p for p in opened[place:] if p is not Ellipsis]


def _as_index(part: Any) -> Any:
    """Lists, ranges and NumPy arrays as tensors."""
    return torch.as_tensor(part) if isinstance(part, list | range) or type(part).__module__ == "numpy" else part


def _is_flag(part: Any) -> bool:
    """Whether the part is a single truth value, which uses up no axis of the tensor."""
    return isinstance(part, bool) or (isinstance(part, Tensor) and part.ndim == 0 and part.dtype == torch.bool)


def _is_basic(key: Any) -> bool:
    """Whether a key has only integers, slices, None and ``...``."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, int) and not isinstance(part, bool))
        or (
            isinstance(part, Tensor)
            and part.ndim == 0
            and not part.dtype.is_floating_point
            and part.dtype != torch.bool
        )
        for part in parts
    )


def index_numbers(shape: Sequence[int], key: Any) -> Tensor:
    """For every entry of ``x[key]`` the row-major number of the entry of x that it is.

    Integers, slices and None are read along strides first. The index tensors broadcast together; their axes stand where
    the first of them stood if they were adjacent, in front otherwise.
    """
    parts = _parts(key, len(shape))
    plain = [slice(None) if isinstance(part, Tensor) else part for part in parts]
    layout = basic_layout(Layout(0, tuple(shape), row_major(shape)), plain)
    tensors: dict[int, Tensor] = {}
    axis = 0
    for part in parts:
        if isinstance(part, Tensor):
            tensors[axis] = part.to("cpu", torch.int64)
        axis += not isinstance(part, int)
    if not tensors:
        return layout.numbers()
    together = torch.broadcast_shapes(*[t.shape for t in tensors.values()])
    adjacent = max(tensors) - min(tensors) == len(tensors) - 1
    kept = [k for k in range(len(layout.sizes)) if k not in tensors]
    front = [k for k in kept if k < min(tensors)] if adjacent else []
    back = [k for k in kept if k not in front]
    rank = len(kept) + len(together)
    total = torch.tensor(layout.offset)
    for place, k in enumerate((*front, *back)):
        out = place if place < len(front) else place + len(together)
        steps = torch.arange(layout.sizes[k]) * layout.strides[k]
        total = total + steps.reshape([-1 if j == out else 1 for j in range(rank)])
    for k, index in tensors.items():
        steps = torch.where(index < 0, index + layout.sizes[k], index) * layout.strides[k]
        total = total + steps.expand(together).reshape(*together, *[1] * len(back))
    sizes = (*[layout.sizes[k] for k in front], *together, *[layout.sizes[k] for k in back])
    return total.expand(sizes)


class BasicIndex(Strided):
    """Entries at integers and slices: ``x[1, :, None]``."""

    names = ("getitem",)
    signature = "input, key"

    @override
    def applies(self, args: Arguments) -> bool:
        return _is_basic(args["key"])

    @override
    def layouts(self, args: Arguments) -> list[Layout]:
        x = args["input"]
        return [
            basic_layout(Layout.of(x), [int(p) if isinstance(p, Tensor) else p for p in _parts(args["key"], x.ndim)])
        ]


class TensorIndex(Numbered):
    """Entries at index tensors and masks: ``x[rows, columns]``, ``x[mask]``."""

    names = ("getitem", "index")
    signature = "getitem: input, key | index: input, indices"

    @override
    def applies(self, args: Arguments) -> bool:
        key = args["key"] if "key" in args else args["indices"]
        return not any(_is_flag(part) for part in (key if isinstance(key, tuple) else (key,)))

    @override
    def numbers(self, args: Arguments) -> Tensor:
        return indexed_numbers(args)


def indexed_numbers(args: Arguments) -> Tensor:
    """Row-major numbers of the entries at a ``key``, or at ``indices`` of which None takes a whole axis."""
    key = args["key"] if "key" in args else tuple(slice(None) if i is None else i for i in args["indices"])
    return index_numbers(args["input"].shape, key)


def sliced_numbers(args: Arguments) -> Tensor:
    """Row-major numbers of whole slices along the axis ``dim``, at the places that the vector ``index`` names."""
    x = args["input"]
    return index_numbers(x.shape, (*[slice(None)] * (args["dim"] % max(x.ndim, 1)), args["index"].reshape(-1)))


class Gather(Numbered):
    """Along one axis, at the places that an index tensor names: ``gather``, ``take_along_dim``."""

    names = ("gather", "take_along_dim")
    signature = "gather: input, dim, index, *, sparse_grad=False | take_along_dim: input, indices, dim=None"

    @override
    def numbers(self, args: Arguments) -> Tensor:
        x = args["input"]
        index = args["index"] if "index" in args else args["indices"]
        if args["dim"] is None:
            return index.reshape(-1)
        dim = args["dim"] % max(x.ndim, 1)
        if "indices" in args:
            sizes = [max(a, b) if k != dim else b for k, (a, b) in enumerate(zip(x.shape, index.shape, strict=True))]
            index = index.expand(sizes)
        return along(x.shape, dim, index)


def along(shape: Sequence[int], dim: int, index: Tensor) -> Tensor:
    """Row-major numbers of the entries at the places ``index`` on one axis, its own positions on all others."""
    if not shape:
        return index * 0
    strides = row_major(shape)
    total = torch.where(index < 0, index + shape[dim], index) * strides[dim]
    for k, size in enumerate(index.shape):
        if k != dim:
            steps = torch.arange(size, device=index.device) * strides[k]
            total = total + steps.reshape([-1 if j == k else 1 for j in range(index.ndim)])
    return total


class IndexSelect(Numbered):
    """Whole slices along one axis, at the places that a vector names."""

    names = ("index_select",)
    signature = "input, dim, index"

    @override
    def numbers(self, args: Arguments) -> Tensor:
        return sliced_numbers(args)


class Take(Numbered):
    """Entries by their row-major number, or those under a mask in order."""

    names = ("take", "masked_select")
    signature = "take: input, index | masked_select: input, mask"

    @override
    def applies(self, args: Arguments) -> bool:
        return "mask" not in args or args["mask"].shape == args["input"].shape

    @override
    def numbers(self, args: Arguments) -> Tensor:
        if "mask" in args:
            return args["mask"].reshape(-1).nonzero().reshape(-1)
        index = args["index"]
        return torch.where(index < 0, index + args["input"].numel(), index)


RULES: tuple[Rule, ...] = (
    BasicIndex(),
    TensorIndex(),
    Gather(),
    IndexSelect(),
    Take(),
)
