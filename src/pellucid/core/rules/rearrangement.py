"""Operations that put the numbers of one tensor or of several in another order, or zeros between them.

What each does is said by an image of itself: a tensor that holds, for every output entry, the number of the entry
that it copies, counted through all sources one after the other; −1 stands for 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, flatten_arguments, upstream
from pellucid.core.rules.indexing import scatter_sum, take
from pellucid.core.rules.movement import Strided, copied, number_to_index, row_major
from pellucid.core.rules.sums import Index, Sum, column, constant, single

__all__ = ["RULES", "Rearrangement", "pair"]

Image = Callable[..., "Tensor | Sequence[Tensor]"]
"""From the sources' numbers (tensors of their shapes) and the call's constants to the numbers of every output."""


class Rearrangement(Rule):
    """Each output entry is a copy of one entry of a source, or 0. An entry's gradient is the sum over its copies.

    Args:
        names: Canonical names.
        signature: The call's parameters.
        image: What the operation does, told on numbers; it takes the sources first, each under its own name.
        sources: The arguments whose numbers are copied; a sequence of tensors counts as several.
        says: In words.
        indices: Whether the operation gives the places beside the numbers, as a running maximum does.
    """

    formula = r"y_i=x_{j(i)}"
    derivative = Strided.derivative

    def __init__(
        self, names: str, signature: str, image: Image, sources: str = "input", *, says: str = "", indices: bool = False
    ) -> None:
        self.names, self.signature = tuple(names.split()), signature
        self.__doc__ = says or image.__doc__
        self._image, self._sources, self._indices = image, tuple(sources.split()), indices

    @override
    def applies(self, args: Arguments) -> bool:
        return all(name in args for name in self._sources) and any(_opened(args, self._sources).values())

    def _numbers(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> list[Tensor]:
        """For every output the numbers of the entries that it copies."""
        start, numbered = 0, dict(args)
        for name in self._sources:
            held = args[name]
            many = not isinstance(held, Tensor)
            made = []
            for tensor in held if many else (held,):
                made.append(torch.arange(start, start + tensor.numel()).reshape(tensor.shape))
                start += tensor.numel()
            numbered[name] = made if many else made[0]
        if self._indices:
            numbered |= {"values": args["input"].detach(), "observed": outputs}
        image = self._image(**numbered)
        return [image] if isinstance(image, Tensor) else list(image)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        sources = list(_tensors(args, self._sources).values())
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in sources])
        numbers = self._numbers(args, outputs)
        if self._indices:
            dim = args["dim"] % max(args["input"].ndim, 1)
            sizes = args["input"].shape
            step = row_major(sizes)[dim] if sizes else 1
            return flat[numbers[0]], numbers[0] // step % (sizes[dim] if sizes else 1)
        made = [_read(flat, one) for one in numbers]
        return tuple(m.to(o.dtype) for m, o in zip(made, outputs, strict=True)) if outputs else tuple(made)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        sources = _tensors(args, self._sources)
        count = sum(tensor.numel() for tensor in sources.values())
        total = torch.zeros(count, dtype=torch.float64)
        for place, numbers in enumerate(self._numbers(args, outputs)):
            if place < len(grads) and grads[place] is not None:
                total = total + scatter_sum(upstream(outputs, grads, place).to(torch.float64), numbers, (count,))
        parts = torch.split(total, [tensor.numel() for tensor in sources.values()])
        return {
            name: part.reshape(tensor.shape).to(tensor.dtype)
            for (name, tensor), part in zip(sources.items(), parts, strict=True)
            if tensor.dtype.is_floating_point
        }

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        if self._indices and output:
            return Sum.of([single("place", constant("place", float(outputs[output][index])))])
        number = int(self._numbers(args, outputs)[output][index])
        if number < 0:
            return Sum.of([single("0", constant("0", 0.0))], note="nothing is copied here")
        for name, tensor in _tensors(args, self._sources).items():
            if number < tensor.numel():
                return Sum.of([copied(name, tensor, number_to_index(number, tensor.shape))])
            number -= tensor.numel()
        raise IndexError(index)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        start, sources = 0, _tensors(args, self._sources)
        if argument not in sources:
            return Sum.of([], note="only says where")
        for name, tensor in sources.items():
            if name == argument:
                break
            start += tensor.numel()
        wanted = start + sum(s * i for s, i in zip(row_major(sources[argument].shape), index, strict=True))
        blocks = []
        for place, numbers in enumerate(self._numbers(args, outputs)):
            where = (numbers == wanted).nonzero()
            if len(where) and place < len(grads) and grads[place] is not None:
                name = "grad" if len(outputs) == 1 else f"grad[{place}]"
                blocks.append(single(name, column(name, where, take(upstream(outputs, grads, place), where))))
        return Sum.of(blocks, note="" if blocks else "goes nowhere")


def _opened(args: Arguments, names: Sequence[str]) -> dict[str, bool]:
    """The addresses of the sources, and whether each is a tensor."""
    return {key: isinstance(value, Tensor) for key, value in flatten_arguments({n: args[n] for n in names}).items()}


def _tensors(args: Arguments, names: Sequence[str]) -> dict[str, Tensor]:
    """The sources by address."""
    return {k: v for k, v in flatten_arguments({n: args[n] for n in names}).items() if isinstance(v, Tensor)}


def _read(flat: Tensor, numbers: Tensor) -> Tensor:
    """The numbered entries, 0 where the number is −1."""
    if not len(flat):
        return torch.zeros(numbers.shape, dtype=flat.dtype)
    value = flat[numbers.clamp(min=0)]
    return torch.where(numbers < 0, torch.zeros((), dtype=flat.dtype), value) if bool((numbers < 0).any()) else value


def _pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels laid out as pixels: every r² channels become an r × r patch."""
    r, (c, h, w) = upscale_factor, input.shape[-3:]
    parts = input.reshape(*input.shape[:-3], c // r**2, r, r, h, w)
    n = parts.ndim
    parts = parts.permute(*range(n - 5), n - 5, n - 2, n - 4, n - 1, n - 3)
    return parts.reshape(*input.shape[:-3], c // r**2, h * r, w * r)


def _pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Patches laid out as channels: every r × r patch becomes r² channels."""
    r, (c, h, w) = downscale_factor, input.shape[-3:]
    parts = input.reshape(*input.shape[:-3], c, h // r, r, w // r, r)
    n = parts.ndim
    parts = parts.permute(*range(n - 5), n - 5, n - 3, n - 1, n - 4, n - 2)
    return parts.reshape(*input.shape[:-3], c * r**2, h // r, w // r)


def _channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of all groups dealt out in turn."""
    n, c, *places = input.shape
    return input.reshape(n, groups, c // groups, *places).transpose(1, 2).reshape(input.shape)


def _meshgrid(tensors: Sequence[Tensor], indexing: str | None = None) -> list[Tensor]:
    """Each vector along an axis of its own, repeated along the others."""
    vectors = [t.reshape(-1) for t in tensors]
    swap = indexing == "xy" and len(vectors) > 1
    if swap:
        vectors[:2] = vectors[1], vectors[0]
    sizes = [len(v) for v in vectors]
    made = [v.reshape([-1 if k == a else 1 for k in range(len(sizes))]).expand(sizes) for a, v in enumerate(vectors)]
    if swap:
        made[:2] = made[1], made[0]
    return made


def _broadcast_tensors(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor repeated to the common shape."""
    shape = torch.broadcast_shapes(*[t.shape for t in tensors])
    return [t.expand(shape) for t in tensors]


def _tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> list[Tensor]:
    """Pieces along an axis: so many nearly equal ones, or cut at the given places."""
    size = input.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        base, extra = divmod(size, indices_or_sections)
        lengths = [base + (k < extra) for k in range(indices_or_sections)]
        cuts = [0, *torch.tensor(lengths).cumsum(0).tolist()]
        return [input.narrow(dim, a, b - a) for a, b in pairwise(cuts)]
    places = [*range(size)]
    found, start = [], 0
    for cut in (*indices_or_sections, size):
        chosen = places[start:cut]
        found.append(input.index_select(dim, torch.tensor(chosen, dtype=torch.int64)))
        start = cut
    return found


def _splits_along(axis: int) -> Image:
    """The same along one axis; a vector has only the first."""

    def image(input: Tensor, indices_or_sections: Any) -> list[Tensor]:
        return _tensor_split(input, indices_or_sections, min(axis, input.ndim - 1))

    return image


def _joined(axis: int, shaped: Callable[[Tensor], Tensor]) -> Image:
    """Tensors given a shape, then put end to end along an axis."""

    def image(tensors: Sequence[Tensor]) -> Tensor:
        made = [shaped(t) for t in tensors]
        return torch.cat(made, 0 if made[0].ndim == 1 else axis)

    return image


def _row(tensor: Tensor) -> Tensor:
    """A vector as one row."""
    return tensor.reshape(1, -1) if tensor.ndim < 2 else tensor


def _deep(tensor: Tensor) -> Tensor:
    """A vector or matrix with a third axis."""
    tensor = _row(tensor)
    return tensor[..., None] if tensor.ndim == 2 else tensor


def _diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector put on a diagonal, or a matrix's diagonal."""
    return _diag_embed(input, diagonal) if input.ndim == 1 else input.diagonal(diagonal)


def _diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis put on a diagonal, 0 beside it."""
    size = input.shape[-1] + abs(offset)
    made = torch.full((*input.shape[:-1], size, size), -1)
    places = torch.arange(input.shape[-1])
    made[..., places + max(-offset, 0), places + max(offset, 0)] = input
    rank = made.ndim
    return made.movedim((-2, -1), (dim1 % rank, dim2 % rank))


def _select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """One place along an axis taken from another tensor."""
    made = input.clone()
    made.select(dim, index).copy_(src)
    return made


def _slice_scatter(  # noqa: PLR0917 - as torch has them
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A slice along an axis taken from another tensor."""
    made = input.clone()
    made[(*[slice(None)] * (dim % input.ndim), slice(start, end, step))] = src
    return made


def _diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal taken from another tensor."""
    made = input.clone()
    made.diagonal(offset, dim1, dim2).copy_(src)
    return made


def _masked_scatter(input: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """Where the mask is true, the next number of another tensor."""
    made = input.expand(torch.broadcast_shapes(input.shape, mask.shape)).clone()
    true = mask.expand(made.shape)
    made[true] = source.reshape(-1)[: int(true.sum())]
    return made


def _flip_axis(axis: int) -> Image:
    """One axis backwards."""

    def image(input: Tensor) -> Tensor:
        return input.flip(axis)

    return image


def _rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by quarter turns."""
    for _ in range(k % 4):
        input = input.transpose(*dims).flip(dims[0])
    return input


def _image_windows(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Every window of an image as a column, 0 beyond the edge."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (pair(v) for v in (kernel_size, dilation, padding, stride))
    *lead, h, w = input.shape
    framed = torch.full((*lead, h + 2 * ph, w + 2 * pw), -1)
    framed[..., ph : ph + h, pw : pw + w] = input
    rows = torch.arange((h + 2 * ph - dh * (kh - 1) - 1) // sh + 1) * sh
    columns = torch.arange((w + 2 * pw - dw * (kw - 1) - 1) // sw + 1) * sw
    down, along = rows[None] + torch.arange(kh)[:, None] * dh, columns[None] + torch.arange(kw)[:, None] * dw
    windows = framed[..., down[:, None, :, None], along[None, :, None, :]]
    return windows.reshape(*lead[:-1], lead[-1] * kh * kw, len(rows) * len(columns))


def pair(value: Any) -> tuple[int, int]:
    """One number for both axes, or one each."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _max_unpool(rank: int) -> Image:
    """Every number put where its maximum stood, 0 elsewhere."""

    def image(  # noqa: PLR0917 - as torch has them
        input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Tensor:
        def each(value: Any) -> list[int]:
            return [int(value)] * rank if isinstance(value, int) else [int(v) for v in value]

        kernel, padded = each(kernel_size), each(padding)
        step = kernel if stride is None or stride == [] else each(stride)
        sizes = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(input.shape[-rank:], step, kernel, padded, strict=True)]
        sizes = sizes if output_size is None else [int(n) for n in output_size][-rank:]
        lead = input.shape[:-rank]
        made = torch.full((math.prod(lead), math.prod(sizes)), -1)
        flat, where = input.reshape(len(made), -1), indices.reshape(len(made), -1)
        for row in range(len(made)):  # of several maxima that stood at one place the last is kept
            made[row, where[row]] = flat[row]
        return made.reshape(*lead, *sizes)

    return image


def _running_extreme(largest: bool) -> Image:
    """The largest (smallest) number so far; of equals the place that was observed."""

    def image(input: Tensor, dim: int, values: Tensor, observed: Sequence[Tensor] | None, **_: Any) -> Tensor:
        if not input.ndim:
            return input
        numbers, along = input.movedim(dim, 0), values.movedim(dim, 0)
        seen = None if observed is None else observed[1].movedim(dim, 0)
        place = torch.zeros(along.shape[1:], dtype=torch.int64)
        found = []
        for k in range(len(along)):
            best = along.gather(0, place[None])[0]
            better = (along[k] >= best if largest else along[k] <= best) | along[k].isnan()
            place = torch.where(better, k, place)
            if seen is not None:
                same = along.gather(0, seen[k][None])[0] == along.gather(0, place[None])[0]
                place = torch.where(same, seen[k], place)
            found.append(numbers.gather(0, place[None])[0])
        return torch.stack(found).movedim(0, dim) if found else input

    return image


RULES: tuple[Rule, ...] = (
    Rearrangement("pixel_shuffle", "input, upscale_factor", _pixel_shuffle),
    Rearrangement("pixel_unshuffle", "input, downscale_factor", _pixel_unshuffle),
    Rearrangement("channel_shuffle native_channel_shuffle", "input, groups", _channel_shuffle),
    Rearrangement("meshgrid", "*tensors, indexing=None", _meshgrid, "tensors"),
    Rearrangement("broadcast_tensors", "*tensors", _broadcast_tensors, "tensors"),
    Rearrangement("tensor_split", "input, indices_or_sections, dim=0", _tensor_split),
    Rearrangement("hsplit", "input, indices_or_sections", _splits_along(1), says="Pieces along the second axis."),
    Rearrangement("vsplit", "input, indices_or_sections", _splits_along(0), says="Pieces along the first axis."),
    Rearrangement("dsplit", "input, indices_or_sections", _splits_along(2), says="Pieces along the third axis."),
    Rearrangement("hstack", "tensors", _joined(1, lambda t: t.reshape(1) if not t.ndim else t), "tensors"),
    Rearrangement("vstack row_stack", "tensors", _joined(0, _row), "tensors"),
    Rearrangement(
        "dstack",
        "tensors",
        _joined(2, _deep),
        "tensors",
    ),
    Rearrangement("column_stack", "tensors", _joined(1, lambda t: t.reshape(-1, 1) if t.ndim < 2 else t), "tensors"),
    Rearrangement("diag", "input, diagonal=0", _diag),
    Rearrangement("diag_embed", "input, offset=0, dim1=-2, dim2=-1", _diag_embed),
    Rearrangement("select_scatter", "input, src, dim, index", _select_scatter, "input src"),
    Rearrangement("slice_scatter", "input, src, dim=0, start=None, end=None, step=1", _slice_scatter, "input src"),
    Rearrangement("diagonal_scatter", "input, src, offset=0, dim1=0, dim2=1", _diagonal_scatter, "input src"),
    Rearrangement("masked_scatter", "input, mask, source", _masked_scatter, "input source"),
    Rearrangement("fliplr", "input", _flip_axis(1), says="The second axis backwards."),
    Rearrangement("flipud", "input", _flip_axis(0), says="The first axis backwards."),
    Rearrangement("rot90", "input, k=1, dims=(0, 1)", _rot90),
    Rearrangement("unfold", "input, kernel_size, dilation=1, padding=0, stride=1", _image_windows),
    *(
        Rearrangement(
            f"max_unpool{rank}d",
            "input, indices, kernel_size, stride=None, padding=0, output_size=None",
            _max_unpool(rank),
            says="Every number put where its maximum stood, 0 elsewhere.",
        )
        for rank in (1, 2, 3)
    ),
    Rearrangement("cummax", "input, dim", _running_extreme(largest=True), says="The largest so far.", indices=True),
    Rearrangement("cummin", "input, dim", _running_extreme(largest=False), says="The smallest so far.", indices=True),
)
