"""What a parameter was like when training began, and how far it went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.results.watched_script import ScriptParameter

__all__ = ["ParameterRecord"]

_MOST_KEPT = 4_096
"""Entries of a parameter that are kept to measure its way by: an even share, so about 2 % error of the norm."""
_UNIFORM_STD_TOLERANCE = 0.1
_UNIFORM_REACH = 0.9
_FEWEST_FOR_SHAPE = 16
"""Of fewer entries the largest of a uniform sample is often below ``_UNIFORM_REACH`` of its bound."""


@dataclass
class ParameterRecord:
    """One parameter under watch.

    Attributes:
        name: Qualified.
        module: The module it belongs to.
        fan_in: Inputs of a unit, where the module has a weight.
        optimizer: Index of the one that holds it.
        used: It took part in a training forward.
        got_gradient: A gradient was seen.
        gradient_zero: Every gradient looked at was 0.
    """

    name: str
    module: str
    tensor: Tensor
    fan_in: int
    optimizer: int = -1
    used: bool = False
    got_gradient: bool = False
    gradient_zero: bool = True
    trainable: bool = True
    start: Tensor | None = None
    figures: tuple[float, ...] = ()

    @torch.no_grad()
    def begin(self) -> None:
        """Training begins: take the figures of the start."""
        self.trainable = self.tensor.requires_grad
        if not _has_numbers(self.tensor):
            return
        self.start = _share(self.tensor).clone()
        values = self.tensor.detach().float()
        mean, norm = values.mean(), values.norm()
        std = values.std(correction=0)
        units = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        spread = units.std(0, correction=0).max()
        self.figures = tuple(torch.stack([mean, std, spread, norm, values.abs().max()]).tolist())

    @torch.no_grad()
    def describe(self) -> ScriptParameter:
        """As a record."""
        mean, std, spread, norm, largest = self.figures or (math.nan,) * 5
        tensor = self.tensor
        vector = tensor.ndim < 2
        final, moved = math.nan, math.nan
        if _has_numbers(tensor):
            final = float(tensor.detach().float().norm())
            if self.start is not None:
                began = self.start.float()
                start_norm = float(began.norm())
                change = float((_share(tensor).float() - began).norm())
                moved = change / start_norm if start_norm else (0.0 if change == 0 else math.inf)
        bound = 1 / math.sqrt(self.fan_in) if self.fan_in else math.nan
        return ScriptParameter(
            name=self.name,
            module=self.module,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            trainable=self.trainable,
            optimizer=self.optimizer,
            used=self.used or self.got_gradient,
            got_gradient=self.got_gradient,
            gradient_zero=self.got_gradient and self.gradient_zero,
            initial_mean=mean,
            initial_std=std,
            initial_unit_spread=spread,
            initial_scale=math.nan if vector else std * math.sqrt(self.fan_in),
            initial_uniform=_looks_uniform(tensor.numel(), largest, std, bound),
            initial_norm=norm,
            final_norm=final,
            moved=moved,
        )


def _looks_uniform(entries: int, largest: float, std: float, bound: float) -> bool:
    if not largest <= bound * 1.001:
        return False
    if entries < _FEWEST_FOR_SHAPE:
        return True
    return largest >= _UNIFORM_REACH * bound and abs(std / (bound / math.sqrt(3)) - 1) < _UNIFORM_STD_TOLERANCE


def _has_numbers(tensor: Any) -> bool:
    return tensor.numel() > 0 and tensor.device.type != "meta" and tensor.is_floating_point() and not tensor.is_sparse


def _share(tensor: Tensor) -> Tensor:
    """An even share of the entries."""
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, -(-flat.numel() // _MOST_KEPT))]
