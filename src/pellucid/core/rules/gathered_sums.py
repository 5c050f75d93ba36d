"""Sums in which every entry counts towards one place, or none: overlapping windows folded back, a matrix's trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import scatter_sum, take, wide
from pellucid.core.rules.movement import copied, number_to_index, row_major
from pellucid.core.rules.rearrangement import pair
from pellucid.core.rules.sums import Index, Sum, column, single

__all__ = ["RULES", "GatheredSum"]


class GatheredSum(Rule):
    """y_j is the sum of all x_i that are sent to j; each x_i gets the gradient of its place.

    Args:
        name: The canonical name.
        signature: The call's parameters.
        places: From the call's arguments to (the number of the place that each entry counts towards, −1 for none; the
            output's shape).
        says: In words.
    """

    formula = r"y_j=\sum_{i:\,j(i)=j}x_i"
    derivative = r"\frac{\partial L}{\partial x_i}=\frac{\partial L}{\partial y_{j(i)}}"

    def __init__(
        self, name: str, signature: str, places: Callable[..., tuple[Tensor, tuple[int, ...]]], says: str
    ) -> None:
        self.names, self.signature, self._places, self.__doc__ = (name,), signature, places, says

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        numbers, shape = self._places(**args)
        x = args["input"].detach()
        whole = wide(x) if x.dtype.is_floating_point else x
        return (scatter_sum(whole, numbers, shape).to(outputs[0].dtype if outputs else x.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        numbers, _ = self._places(**args)
        flat = upstream(outputs, grads).reshape(-1)
        found = torch.where(numbers < 0, torch.zeros((), dtype=flat.dtype), flat[numbers.clamp(min=0)])
        return {"input": found.to(args["input"].dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        numbers, shape = self._places(**args)
        wanted = sum(s * i for s, i in zip(row_major(shape), index, strict=True))
        where = (numbers == wanted).nonzero()
        return Sum.of([single("input", column("input", where, take(args["input"], where)))] if len(where) else [])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        numbers, shape = self._places(**args)
        number = int(numbers[index])
        if number < 0:
            return Sum.of([], note="counts towards nothing")
        return Sum.of([copied("grad", upstream(outputs, grads), number_to_index(number, shape))])


def _diagonal(input: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """The diagonal counts."""
    rows, columns = input.shape
    return torch.where(torch.arange(rows)[:, None] == torch.arange(columns), 0, -1), ()


def _folded(  # noqa: PLR0917 - as torch has them
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> tuple[Tensor, tuple[int, ...]]:
    """Every column's window goes back to where it was cut."""
    (h, w), (kh, kw) = pair(output_size), pair(kernel_size)
    (dh, dw), (ph, pw), (sh, sw) = (pair(v) for v in (dilation, padding, stride))
    down = torch.arange((h + 2 * ph - dh * (kh - 1) - 1) // sh + 1) * sh - ph
    along = torch.arange((w + 2 * pw - dw * (kw - 1) - 1) // sw + 1) * sw - pw
    rows = (down[None] + torch.arange(kh)[:, None] * dh)[:, None, :, None]
    columns = (along[None] + torch.arange(kw)[:, None] * dw)[None, :, None, :]
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    channels = input.shape[-2] // (kh * kw)
    lead = input.shape[:-2]
    planes = torch.arange(channels * (lead[0] if lead else 1)).reshape(*lead, channels, 1, 1, 1, 1)
    numbers = torch.where(inside, planes * h * w + rows * w + columns, -1)
    return numbers.reshape(input.shape), (*lead, channels, h, w)


RULES: tuple[Rule, ...] = (
    GatheredSum("trace", "input", _diagonal, "The sum of a matrix's diagonal."),
    GatheredSum(
        "fold", "input, output_size, kernel_size, dilation=1, padding=0, stride=1", _folded,
        "Windows put back where they were cut from an image, overlaps added up.",
    ),
)  # fmt: skip
