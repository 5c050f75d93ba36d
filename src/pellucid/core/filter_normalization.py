"""Directions in parameter space whose steps mean the same for every filter, however its weights are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Normalization", "normalize_direction", "random_direction"]

Normalization = Literal["filter", "layer", "none"]
"""Whose norm a direction takes on: of each filter, of each whole tensor, or of nothing."""


def random_direction(parameters: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Independent standard normal numbers in the parameters' shapes."""
    return {name: torch.randn(value.shape, generator=generator).to(value) for name, value in parameters.items()}


def normalize_direction(
    direction: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    normalization: Normalization = "filter",
    filter_axes: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Give every filter of a direction the norm of the network's own: d_ij ← d_ij ÷ ‖d_ij‖ · ‖θ_ij‖.

    A filter is what makes one output: a convolution's kernel over all its input channels, a row of a linear layer's
    matrix. Parameters of one axis or none (biases, scales and shifts of normalisations) are not moved, as in the
    authors' figures. Without normalisation nothing is rescaled and all parameters move.

    Args:
        direction: By parameter.
        parameters: The network's own, by the same names.
        normalization: "filter", "layer" or "none".
        filter_axes: The axis that counts the filters where it is not the first (transposed convolutions).

    Source: Li, Xu, Taylor, Studer and Goldstein (2018), Visualizing the loss landscape of neural nets, section 4.

    >>> weight = {"w": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "b": torch.ones(2)}
    >>> found = normalize_direction({"w": torch.ones(2, 2), "b": torch.ones(2)}, weight)
    >>> found["w"].norm(dim=1).tolist(), found["b"].tolist()
    ([5.0, 0.0], [0.0, 0.0])
    """
    if normalization == "none":
        return dict(direction)
    axes = filter_axes or {}
    found: dict[str, Tensor] = {}
    for name, value in parameters.items():
        step = direction[name]
        if value.ndim <= 1:
            found[name] = torch.zeros_like(step)
            continue
        kept = {axes.get(name, 0)} if normalization == "filter" else set[int]()
        over = [axis for axis in range(value.ndim) if axis not in kept]
        size = torch.linalg.vector_norm(step, dim=over, keepdim=True)
        found[name] = torch.where(size > 0, step / size, 0.0) * torch.linalg.vector_norm(value, dim=over, keepdim=True)
    return found
