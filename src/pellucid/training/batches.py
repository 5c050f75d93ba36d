"""How examples reach the network: an order per epoch without history, batches by index, floats from bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from pellucid.data.prepared import Prepared

__all__ = ["Augmentation", "Batches", "batch_bounds", "epoch_order", "evaluation_chunk", "stream_seed"]

Augmentation = Callable[["Tensor", "Tensor", torch.Generator], "tuple[Tensor, Tensor]"]

_MASK = (1 << 64) - 1


def stream_seed(seed: int, *path: int) -> int:
    """A seed for one random stream of a run, named by numbers (purpose, epoch, batch).

    Each number in turn goes through SplitMix64's mixing function.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
    """
    state = 0
    for part in (seed, *path):
        state = ((state + 0x9E3779B97F4A7C15) ^ part) & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1  # a generator takes a signed 64-bit seed


def epoch_order(seed: int, epoch: int, examples: int) -> Tensor:
    """The order of the examples in one epoch: given by (seed, epoch) alone, so that a resumed run repeats it."""
    generator = torch.Generator().manual_seed(stream_seed(seed, 1, epoch))
    return torch.randperm(examples, generator=generator)


def batch_bounds(examples: int, batch_size: int, model: nn.Module) -> list[tuple[int, int]]:
    """Where each batch of an epoch begins and ends.

    A last batch of one example is left out where batch normalization would see it: its variance would be 0 / 0.
    """
    bounds = [(start, min(start + batch_size, examples)) for start in range(0, examples, batch_size)]
    last_is_single = bounds[-1][1] - bounds[-1][0] == 1
    if last_is_single and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        bounds.pop()
        if not bounds:
            raise SettingsError(
                "batch normalization needs at least 2 examples a batch",
                place=f"batch size {batch_size}, {examples} training examples",
                remedy="raise --batch-size or use --normalization layer",
            )
    return bounds


def evaluation_chunk(batches: Batches) -> int:
    """How many examples to run at once when only evaluating: large, but at most about 64 MB of inputs."""
    per_example = max(1, batches.inputs[:1].numel() * 4)
    most = 8192 if batches.inputs.device.type != "cpu" else 1024
    return max(1, min(most, (64 << 20) // per_example))


@dataclass(frozen=True)
class Batches:
    """One split on the device that trains, with what turns its bytes into floats.

    Attributes:
        inputs: ``(batch, …)`` as prepared; ``uint8`` images stay bytes until a batch is taken.
        targets: ``(batch, …)``.
        multiplier: ``(channels, 1, 1)`` factor for bytes; None where the inputs need no scaling.
        offset: ``(channels, 1, 1)`` added after it.
    """

    inputs: Tensor
    targets: Tensor
    multiplier: Tensor | None = None
    offset: Tensor | None = None

    @classmethod
    def of(cls, prepared: Prepared, split: str, device: torch.device) -> Batches:
        """The named split of ``prepared``, moved to ``device``."""
        part = prepared.splits[split]
        return cls.from_tensors(part.inputs, part.targets, prepared.pixel_scale, device)

    @classmethod
    def from_tensors(
        cls,
        inputs: Tensor,
        targets: Tensor,
        pixel_scale: tuple[np.ndarray, np.ndarray] | None,
        device: torch.device,
    ) -> Batches:
        """Any inputs and targets; bytes ``b`` become ``(b / 255 − mean) / std`` by one product and one sum."""
        multiplier = offset = None
        if inputs.dtype == torch.uint8:
            mean, std = pixel_scale if pixel_scale is not None else (np.zeros(1), np.ones(1))
            std = np.where(np.asarray(std) > 0, std, 1.0)
            multiplier = torch.as_tensor(1 / (255 * std), dtype=torch.float32, device=device).reshape(-1, 1, 1)
            offset = torch.as_tensor(-np.asarray(mean) / std, dtype=torch.float32, device=device).reshape(-1, 1, 1)
        return cls(inputs.contiguous().to(device), targets.contiguous().to(device), multiplier, offset)

    def __len__(self) -> int:
        return len(self.targets)

    def scale(self, inputs: Tensor) -> Tensor:
        """Floats of a batch of bytes; anything else as it is."""
        if self.multiplier is None or self.offset is None:
            return inputs
        return torch.mul(inputs, self.multiplier).add_(self.offset)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at ``index``, scaled."""
        return self.scale(self.inputs.index_select(0, index)), self.targets.index_select(0, index)

    def chunks(self, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples in their own order, in large pieces."""
        size = size or evaluation_chunk(self)
        for start in range(0, len(self), size):
            yield self.scale(self.inputs[start : start + size]), self.targets[start : start + size]
