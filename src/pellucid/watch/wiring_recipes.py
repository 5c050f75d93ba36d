"""Where prediction and target of a loss are found again in steps whose calls are not watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.watch.call_site import NO_SITE, CallSite
from pellucid.watch.wiring_graph import SavedPlace, find_node, find_saved, follow

__all__ = ["HeldForward", "Recipe", "find_recipe", "read_recipe"]


@dataclass(frozen=True, slots=True)
class HeldForward:
    """What went into a model and what came out, detached; the line that called it, and the updates before it."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    site: CallSite = NO_SITE
    step: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    """A tensor at a model's door: of which forward pass, counted back from the backward pass, and which tensor."""

    back: int
    side: Literal["inputs", "outputs"]
    item: int
    tail: tuple[int, ...] | None  # sizes after the first; None for one entry a row, whatever the shape

    def read(self, forwards: Sequence[HeldForward]) -> Tensor | None:
        if self.back > len(forwards):
            return None
        tensors = getattr(forwards[-self.back], self.side)
        if self.item >= len(tensors):
            return None
        tensor: Tensor = tensors[self.item]
        if self.tail is None:
            return tensor.reshape(-1)
        size = 1
        for length in self.tail:
            size *= length
        if size == 0 or tensor.numel() % size:
            return None
        return tensor.reshape(-1, *self.tail)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to find a loss's prediction and target; None for what cannot be found.

    ``difference`` is 1 where the target is the prediction plus what the graph saved, −1 where it is less it.
    """

    prediction: _Held | SavedPlace | None
    target: _Held | SavedPlace | None
    difference: int = 0


def find_recipe(
    loss: Tensor,
    forwards: Sequence[HeldForward],
    prediction: Tensor | None,
    target: Tensor | None,
    difference: tuple[Tensor | None, int] = (None, 0),
) -> Recipe:
    """Look for the tensors of a learned step where they can be found in any step.

    Args:
        loss: What is back-propagated.
        forwards: The forward passes since the last backward pass.
        prediction: As the learned step showed it.
        target: As the learned step showed it.
        difference: The difference of both, where the loss was written with it, and 1 where it is target less
            prediction, −1 where it is the other way round; the target itself where torch's ``l1_loss`` took it.
    """
    apart, sign = difference
    predicted = _find(loss, forwards, prediction)
    aimed = _find(loss, forwards, target)
    if aimed is None and apart is not None and sign and predicted is not None and target is not None:
        same = prediction is not None and prediction.shape == apart.shape
        place = find_saved(loss, apart) if same else None
        if place is None and same and apart is target:
            place = find_node(loss, "AbsBackward0", "_saved_self")
        if place is not None:
            return Recipe(predicted, place, sign)
    return Recipe(predicted, aimed)


def read_recipe(recipe: Recipe, loss: Tensor, forwards: Sequence[HeldForward]) -> tuple[Tensor | None, Tensor | None]:
    """Prediction and target of a step; None where they are not where they were."""
    prediction = _read(recipe.prediction, loss, forwards)
    target = _read(recipe.target, loss, forwards)
    if recipe.difference and target is not None:
        if prediction is None or prediction.shape != target.shape:
            return prediction, None
        target = _rounded(prediction + recipe.difference * target, prediction)
    return prediction, target


def _rounded(target: Tensor, prediction: Tensor) -> Tensor:
    """Without what the subtraction added: a number within its error of one with four decimals is that one."""
    short = target.round(decimals=4)
    error = 4 * torch.finfo(target.dtype).eps * (1 + prediction.abs() + target.abs())
    return torch.where((target - short).abs() <= error, short, target)


def _find(loss: Tensor, forwards: Sequence[HeldForward], wanted: Tensor | None) -> _Held | SavedPlace | None:
    if wanted is None or wanted.numel() == 0 or not wanted.shape:
        return None
    for back, forward in enumerate(reversed(forwards), 1):
        for side in ("outputs", "inputs"):
            for item, tensor in enumerate(getattr(forward, side)):
                same = tensor.data_ptr() == wanted.data_ptr() and tensor.dtype == wanted.dtype
                if same and tensor.numel() == wanted.numel() and tensor.is_contiguous() and wanted.is_contiguous():
                    tail = None if wanted.ndim == 1 else tuple(wanted.shape[1:])
                    return _Held(back, side, item, tail)
    return find_saved(loss, wanted)


def _read(place: _Held | SavedPlace | None, loss: Tensor, forwards: Sequence[HeldForward]) -> Tensor | None:
    if place is None:
        return None
    tensor = place.read(forwards) if isinstance(place, _Held) else follow(loss, place)
    return None if tensor is None else tensor.detach()
