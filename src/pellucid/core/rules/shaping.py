"""Operations that only look at a tensor differently: reshapes, transpositions, slices, expansions, windows, splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule
from pellucid.core.rules.movement import Layout, Strided, row_major
from pellucid.core.rules.sums import Index, Sum

__all__ = ["RULES", "Detach", "Pieces", "Unbind", "View", "basic_layout"]


class View(Strided):
    """One output, read from the input along strides; which ones, each operation's own line below says."""

    def __init__(self, names: str, signature: str, layout: Callable[..., Layout], formula: str = "") -> None:
        self.names = tuple(names.split())
        self.signature = signature
        self.formula = formula or Strided.formula
        self._layout = layout
        self.__doc__ = layout.__doc__

    @override
    def layouts(self, args: Arguments) -> list[Layout]:
        constants = {k: v for k, v in args.items() if k != "input"}
        return [self._layout(args["input"], **constants)]

    @override
    def applies(self, args: Arguments) -> bool:
        if "kernel_size" in args:  # torch.nn.functional.unfold
            return False
        return isinstance(args.get("input"), Tensor) and not any(
            isinstance(v, torch.dtype) for v in args.get("shape", ())
        )


class Detach(View):
    """The same numbers, cut off from the graph: no gradient passes."""

    differentiable = False

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        return {}

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        return Sum.of([], note="detached: no gradient passes")


class Pieces(Strided):
    """Several outputs, consecutive pieces of the input along one axis."""

    def __init__(self, names: str, signature: str, lengths: Callable[..., list[int]]) -> None:
        self.names = tuple(names.split())
        self.signature = signature
        self._lengths = lengths

    @override
    def layouts(self, args: Arguments) -> list[Layout]:
        x, constants = args["input"], {k: v for k, v in args.items() if k not in ("input", "dim")}
        dim = args.get("dim", 0) % x.ndim
        strides, start, found = row_major(x.shape), 0, []
        for length in self._lengths(x.shape[dim], **constants):
            sizes = (*x.shape[:dim], length, *x.shape[dim + 1 :])
            found.append(Layout(start * strides[dim], sizes, strides))
            start += length
        return found


class Unbind(Strided):
    """Several outputs, one for each place along an axis, which they lack."""

    names = ("unbind",)
    signature = "input, dim=0"

    @override
    def layouts(self, args: Arguments) -> list[Layout]:
        x, dim = args["input"], args["dim"] % args["input"].ndim
        return [_select(x, dim, place) for place in range(x.shape[dim])]


def _same(input: Tensor, **_: Any) -> Layout:
    """The same numbers in the same places."""
    return Layout.of(input)


def _reshape(input: Tensor, shape: Sequence[int] = ()) -> Layout:
    """The same numbers in row-major order under another shape."""
    sizes = [int(size) for size in shape]
    if -1 in sizes:
        known = 1
        for size in sizes:
            known *= size if size != -1 else 1
        sizes[sizes.index(-1)] = input.numel() // known if known else 0
    return Layout(0, tuple(sizes), row_major(sizes))


def _as(input: Tensor, other: Tensor) -> Layout:
    """The shape of another tensor."""
    return _reshape(input, other.shape)


def _flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Layout:
    """A run of axes made one."""
    if input.ndim == 0:
        return _reshape(input, [1])
    start, end = start_dim % input.ndim, end_dim % input.ndim
    middle = 1
    for size in input.shape[start : end + 1]:
        middle *= size
    return _reshape(input, [*input.shape[:start], middle, *input.shape[end + 1 :]])


def _unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Layout:
    """One axis made several."""
    dim %= input.ndim
    inner = _reshape(torch.empty(input.shape[dim], device="meta"), sizes).sizes
    return _reshape(input, [*input.shape[:dim], *inner, *input.shape[dim + 1 :]])


def _permute(input: Tensor, dims: Sequence[int]) -> Layout:
    """The axes in another order."""
    strides = row_major(input.shape)
    order = [d % max(input.ndim, 1) for d in dims]
    return Layout(0, tuple(input.shape[d] for d in order), tuple(strides[d] for d in order))


def _transpose(input: Tensor, dim0: int = 0, dim1: int = 1) -> Layout:
    """Two axes swapped."""
    order = list(range(input.ndim))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permute(input, order)


def _reversed_axes(input: Tensor) -> Layout:
    """All axes in reverse order."""
    return _permute(input, range(input.ndim)[::-1])


def _last_swapped(input: Tensor) -> Layout:
    """The last two axes swapped."""
    return _transpose(input, -2, -1)


def _movedim(input: Tensor, source: Any, destination: Any) -> Layout:
    """Some axes at other places, the rest in order."""
    moved = [d % input.ndim for d in ([source] if isinstance(source, int) else source)]
    places = [d % input.ndim for d in ([destination] if isinstance(destination, int) else destination)]
    rest = iter(d for d in range(input.ndim) if d not in moved)
    return _permute(input, [moved[places.index(k)] if k in places else next(rest) for k in range(input.ndim)])


def _squeeze(input: Tensor, dim: Any = None) -> Layout:
    """Axes of length 1 left out."""
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    out = {d % max(input.ndim, 1) for d in dims}
    return _reshape(input, [size for k, size in enumerate(input.shape) if not (k in out and size == 1)])


def _unsqueeze(input: Tensor, dim: int) -> Layout:
    """An axis of length 1 put in."""
    sizes = list(input.shape)
    sizes.insert(dim % (input.ndim + 1), 1)
    return _reshape(input, sizes)


def _expand(input: Tensor, sizes: Sequence[int] = (), **_: Any) -> Layout:
    """Axes of length 1 repeated."""
    extra = len(sizes) - input.ndim
    own, strides = (*[1] * extra, *input.shape), (*[0] * extra, *row_major(input.shape))
    full = tuple(o if size == -1 else int(size) for o, size in zip(own, sizes, strict=True))
    return Layout(0, full, tuple(0 if o == 1 and f != 1 else s for o, f, s in zip(own, full, strides, strict=True)))


def _expand_as(input: Tensor, other: Tensor) -> Layout:
    """Axes of length 1 repeated to the shape of another tensor."""
    return _expand(input, other.shape)


def _select(input: Tensor, dim: int, index: int) -> Layout:
    """One place along an axis."""
    return basic_layout(Layout.of(input), [slice(None)] * (dim % input.ndim) + [int(index)])


def _narrow(input: Tensor, dim: int, start: int, length: int) -> Layout:
    """A run of places along an axis."""
    start = int(start) % max(input.shape[dim], 1) if start < 0 else int(start)
    return basic_layout(Layout.of(input), [slice(None)] * (dim % input.ndim) + [slice(start, start + length)])


def _diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Layout:
    """A diagonal of two axes, put last."""
    first, second = dim1 % input.ndim, dim2 % input.ndim
    strides = row_major(input.shape)
    length = min(input.shape[first] - max(-offset, 0), input.shape[second] - max(offset, 0))
    start = max(-offset, 0) * strides[first] + max(offset, 0) * strides[second]
    rest = [k for k in range(input.ndim) if k not in (first, second)]
    sizes = (*[input.shape[k] for k in rest], max(length, 0))
    return Layout(start, sizes, (*[strides[k] for k in rest], strides[first] + strides[second]))


def _unfold(input: Tensor, dimension: int, size: int, step: int) -> Layout:
    """Windows along an axis, put last."""
    dim, strides = dimension % input.ndim, row_major(input.shape)
    count = (input.shape[dim] - size) // step + 1
    sizes = (*input.shape[:dim], count, *input.shape[dim + 1 :], size)
    return Layout(0, sizes, (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim]))


def basic_layout(layout: Layout, key: Sequence[Any]) -> Layout:
    """A layout read at integers, slices and None, one for each axis from the first on."""
    offset, sizes, strides, axis = layout.offset, [], [], 0
    for part in key:
        if part is None:
            sizes.append(1)
            strides.append(0)
            continue
        size, stride = layout.sizes[axis], layout.strides[axis]
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            sizes.append(len(range(start, stop, step)))
            strides.append(stride * step)
            offset += stride * start if sizes[-1] else 0
        else:
            offset += stride * (int(part) % max(size, 1))
        axis += 1
    return Layout(offset, (*sizes, *layout.sizes[axis:]), (*strides, *layout.strides[axis:]))


def _split(length: int, split_size_or_sections: Any = None, **_: Any) -> list[int]:
    """Pieces of one length, the last shorter; or the lengths given."""
    if not isinstance(split_size_or_sections, int):
        return [int(n) for n in split_size_or_sections]
    step = split_size_or_sections
    return [min(step, length - start) for start in range(0, length, step)] or [0]


def _chunk(length: int, chunks: int) -> list[int]:
    """So many pieces, of the smallest length that needs no more."""
    return _split(length, max(-(-length // chunks), 1))


_CAST = "input, dtype=None, device=None, non_blocking=False, copy=False, *, memory_format=None"

RULES: tuple[Rule, ...] = (
    View("view reshape", "input, *shape", _reshape),
    View("view_as reshape_as", "input, other", _as),
    View("flatten", "input, start_dim=0, end_dim=-1", _flatten),
    View("ravel", "input", _flatten),
    View("unflatten", "input, dim, sizes", _unflatten),
    View("permute", "input, *dims", _permute),
    View("transpose", "input, dim0, dim1", _transpose),
    View("T t H", "input", _reversed_axes),
    View("mT mH adjoint", "input", _last_swapped),
    View("movedim", "input, source, destination", _movedim),
    View("squeeze", "input, dim=None", _squeeze),
    View("unsqueeze", "input, dim", _unsqueeze),
    View("expand broadcast_to", "expand: input, *sizes | broadcast_to: input, sizes", _expand),
    View("expand_as", "input, other", _expand_as),
    View("select", "input, dim, index", _select),
    View("narrow", "input, dim, start, length", _narrow),
    View("diagonal", "input, offset=0, dim1=0, dim2=1", _diagonal),
    View("unfold", "unfold: input, dimension, size, step", _unfold),
    View(
        "contiguous clone alias requires_grad cpu cuda resolve_conj resolve_neg real pin_memory",
        "input, *, memory_format=None",
        _same,
        "y=x",
    ),
    Detach("detach data", "input", _same, "y=x"),
    View("to type type_as float double half bfloat16 long int short char byte bool", _CAST, _same, "y=x"),
    Pieces("split split_with_sizes", "input, split_size_or_sections, dim=0", _split),
    Pieces("chunk", "input, chunks, dim=0", _chunk),
    Unbind(),
)
