"""Fully connected networks: rows of numbers in, logits or predictions out."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor, nn

from pellucid.training.activations import build_activation
from pellucid.training.spec import NetworkSpec

__all__ = ["MLP", "dense_layers"]


def dense_layers(features: int, widths: tuple[int, ...], spec: NetworkSpec) -> tuple[OrderedDict[str, nn.Module], int]:
    """Named hidden layers ``fc1, norm1, act1, drop1, fc2 …`` and how many features come out of them.

    Args:
        features: Numbers that come in.
        widths: Units of each layer.
        spec: Its activation, normalisation and dropout are used.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for number, width in enumerate(widths, start=1):
        # A batch norm subtracts the mean, so a bias before it could do nothing.
        modules[f"fc{number}"] = nn.Linear(features, width, bias=spec.normalization != "batch")
        if spec.normalization != "none":
            modules[f"norm{number}"] = nn.BatchNorm1d(width) if spec.normalization == "batch" else nn.LayerNorm(width)
        modules[f"act{number}"] = build_activation(spec.activation)
        if spec.dropout > 0:
            modules[f"drop{number}"] = nn.Dropout(spec.dropout)
        features = width
    return modules, features


class MLP(nn.Sequential):
    """A multi-layer perceptron: (flatten), hidden layers ``fc1, act1 …``, and a linear ``output``."""

    def __init__(self, spec: NetworkSpec, input_shape: tuple[int, ...], outputs: int) -> None:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        if len(input_shape) > 1:
            modules["flatten"] = nn.Flatten()
        hidden, features = dense_layers(math.prod(input_shape), spec.widths, spec)
        modules.update(hidden)
        modules["output"] = nn.Linear(features, outputs)
        super().__init__(modules)

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, …)`` floats to ``(batch, outputs)`` logits or predictions."""
        return super().forward(input)
