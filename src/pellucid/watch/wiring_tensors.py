"""The tensors of a learned step: which are the same, and their figures as they stood when they were seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.weak import TensorWeakRef

from pellucid.core.transfer import fetch
from pellucid.results.watched_script import TensorFacts
from pellucid.watch.wiring_settings import is_plain

__all__ = ["SeenTensor", "TensorBook"]

_MOST_ENTRIES = 1 << 17
"""The figures of a larger tensor are over an even share of its entries."""

_HELD_BYTES = 1 << 20
"""A larger tensor is not kept alive for the sake of being recognised."""

_MOST_HELD_BYTES = 64 << 20
"""What all tensors that are kept alive for a step may take together."""


@dataclass(frozen=True, slots=True)
class SeenTensor:
    """A tensor at one moment: the same one has the same ``key``; ``figures`` points at what it held then."""

    key: int
    figures: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool
    is_parameter: bool

    @property
    def numel(self) -> int:
        """How many entries it has."""
        return math.prod(self.shape)


class TensorBook:
    """Knows tensors again for the length of a step, and takes down their figures."""

    def __init__(self) -> None:
        self._holders: dict[int, tuple[object, int]] = {}
        self._tensors: dict[int, object] = {}
        self._versions: dict[tuple[int, int], int] = {}
        self._latest: dict[int, int] = {}
        self._figures: list[list[float] | Tensor | None] = []
        self._held_bytes = 0
        self._closed = False

    def close(self) -> None:
        """Take down no more figures: the step is a long one."""
        self._closed = True

    def see(self, tensor: Tensor, *, overwritten: bool = False) -> SeenTensor:
        """Take a tensor down as it stands now; one just overwritten keeps the figures of before, if they are known."""
        key = self.key(tensor)
        known = self._latest.get(key) if overwritten else None
        figures = self._note(tensor, key) if known is None else known
        is_parameter = tensor.is_leaf and (tensor.requires_grad or isinstance(tensor, nn.Parameter))
        return SeenTensor(key, figures, tuple(tensor.shape), tensor.dtype, tensor.requires_grad, is_parameter)

    def key(self, tensor: Tensor) -> int:
        """The tensor's number, the same each time within the step."""
        holder = self._holders.get(id(tensor))
        if holder is not None and _held(holder[0]) is tensor:
            return holder[1]
        key = len(self._tensors)
        size = tensor.numel() * tensor.element_size() if tensor.layout is torch.strided else 0
        if size <= _HELD_BYTES and self._held_bytes + size <= _MOST_HELD_BYTES:
            self._held_bytes += size
            held: object = tensor
        else:
            held = TensorWeakRef(tensor)
        self._holders[id(tensor)] = (held, key)
        self._tensors[key] = held
        return key

    def tensor(self, key: int) -> Tensor | None:
        """The tensor of a number, if it still lives."""
        return _held(self._tensors[key])

    def number(self, seen: SeenTensor) -> float:
        """The value of a tensor with one entry as it was seen; nan where it is not known."""
        figures = self._figures[seen.figures]
        if isinstance(figures, Tensor):
            figures = figures.tolist()
            self._figures[seen.figures] = figures
        return figures[2] if figures and figures[5] == 0.0 else math.nan

    def facts(self, seen: SeenTensor, origin: str) -> TensorFacts:
        """The tensor's figures, once ``fetch`` has brought them over."""
        figures = self._figures[seen.figures]
        values = figures if isinstance(figures, list) else [math.nan] * 7
        low, high, mean, std, zero, nonfinite, whole = values
        return TensorFacts(
            key=seen.key,
            origin=origin,
            shape=seen.shape,
            dtype=str(seen.dtype).removeprefix("torch."),
            requires_grad=seen.requires_grad,
            minimum=low,
            maximum=high,
            mean=mean,
            std=std,
            zero=zero,
            nonfinite=nonfinite,
            whole=whole == 1.0,
        )

    def fetch(self) -> None:
        """Bring the figures of all tensors over, in one transfer."""
        places = [i for i, figures in enumerate(self._figures) if isinstance(figures, Tensor)]
        waiting: Sequence[Tensor] = [f for f in self._figures if isinstance(f, Tensor)]
        for place, values in zip(places, fetch(waiting) if waiting else [], strict=True):
            self._figures[place] = values

    def _note(self, tensor: Tensor, key: int) -> int:
        version = -1 if tensor.is_inference() else tensor._version
        number = self._versions.get((key, version))
        if number is None:
            number = len(self._figures)
            self._figures.append(None if self._closed else _figures(tensor))
            self._versions[key, version] = number
        self._latest[key] = number
        return number


def _held(holder: object) -> Tensor | None:
    if holder is None or isinstance(holder, Tensor):
        return holder
    return holder()  # pyright: ignore[reportCallIssue]


def _figures(tensor: Tensor) -> list[float] | Tensor | None:
    """Minimum, maximum, mean, std, share of zeros, share not finite, 1 where all are whole; None for what has none."""
    if not is_plain(tensor) or tensor.numel() == 0:
        return None
    with torch.no_grad():
        flat = tensor.detach()
        if flat.is_complex():
            flat = flat.abs()
        flat = flat.reshape(-1)
        flat = flat[:: -(-flat.numel() // _MOST_ENTRIES)]
        flat = flat.to(_wide(flat)) if flat.dtype is not torch.float64 else flat
        return _near_figures(flat) if flat.device.type == "cpu" else _far_figures(flat)


def _wide(flat: Tensor) -> torch.dtype:
    is_long = flat.dtype in (torch.int64, torch.int32, torch.uint32) and flat.device.type != "mps"
    return torch.float64 if is_long else torch.float32


def _near_figures(flat: Tensor) -> list[float] | Tensor:
    """The same on the processor, where looking at a number costs nothing."""
    if flat.numel() == 1:
        value = flat.item()
        if not math.isfinite(value):
            return [math.nan, math.nan, math.nan, math.nan, 0.0, 1.0, 0.0]
        return [value, value, value, 0.0, float(value == 0), 0.0, float(value == math.floor(value))]
    low, high = (extreme.item() for extreme in torch.aminmax(flat))
    if not (math.isfinite(low) and math.isfinite(high)):
        return _far_figures(flat)
    mean = flat.mean()
    std = torch.linalg.vector_norm(flat - mean).item() / flat.numel() ** 0.5
    zero = 1.0 - torch.count_nonzero(flat).item() / flat.numel()
    whole = float(low == math.floor(low) and high == math.floor(high) and torch.equal(flat, flat.floor()))
    return [low, high, mean.item(), std, zero, 0.0, whole]


def _far_figures(flat: Tensor) -> Tensor:
    """Without a synchronisation, over the finite entries."""
    finite = torch.isfinite(flat)
    count = finite.sum().to(flat.dtype)
    values = torch.where(finite, flat, torch.zeros_like(flat))
    none = count == 0
    mean = values.sum() / count
    std = (torch.where(finite, values - mean, torch.zeros_like(flat)).square().sum() / count).sqrt()
    low = torch.where(finite, flat, torch.full_like(flat, math.inf)).amin()
    high = torch.where(finite, flat, torch.full_like(flat, -math.inf)).amax()
    nan = torch.full_like(low, math.nan)
    size = flat.numel()
    return torch.stack(
        [
            torch.where(none, nan, low),
            torch.where(none, nan, high),
            mean,
            std,
            (flat == 0).sum().to(flat.dtype) / size,
            1.0 - count / size,
            ((values == values.floor()).all() & finite.all()).to(flat.dtype),
        ]
    )
