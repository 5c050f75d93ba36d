"""The figures that summarise a tensor without moving it: location, spread, zeros, saturation, distribution.

Everything stays on the tensor's device, without a synchronisation; a ``Transfer`` brings many summaries over at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["ACTIVATION_FIGURES", "count_histogram", "global_norm", "summarize_activation"]

ACTIVATION_FIGURES = ("mean", "std", "min", "max", "zero", "saturated", "dead_units")
"""What ``summarize_activation`` gives, in order."""

_SATURATION_MARGIN = 0.01
"""A value counts as saturated within this share of the activation's range from a bound."""


def summarize_activation(
    activation: Tensor, *, unit_axis: int, bounds: tuple[float, float] | None = None
) -> Float[Tensor, "7"]:
    """What a layer's output looks like over a batch: its mean, spread, extremes, zeros, saturated and dead units.

    Args:
        activation: Any shape with at least one entry; non-floating values are taken as float32.
        unit_axis: The axis of the units (channels); every other axis is examples and positions.
        bounds: The values that the activation function cannot pass, e.g. (0, 1) for the logistic sigmoid; None if it
            has fewer than two.

    Returns:
        The seven ``ACTIVATION_FIGURES``. ``std`` is the population standard deviation, centred before squaring, so a
        large mean costs no digits; ``zero`` the fraction exactly 0; ``saturated`` the fraction within 1 % of the range
        from a bound (nan without bounds); ``dead_units`` the fraction of units that are 0 throughout. NaN in, NaN out.

    >>> summarize_activation(torch.tensor([[0.0, 1.0], [0.0, 3.0]]), unit_axis=1).tolist()[:4]
    [1.0, 1.2247449159622192, 0.0, 3.0]
    """
    values = activation.detach()
    values = values if values.dtype in (torch.float32, torch.float64) else values.float()
    others = [axis for axis in range(values.ndim) if axis != unit_axis % values.ndim]
    unit_high = values.amax(dim=others) if others else values
    unit_low = values.amin(dim=others) if others else values
    flat = values.reshape(-1)
    mean = flat.mean()
    std = torch.linalg.vector_norm(flat - mean) / flat.numel() ** 0.5
    zero = (flat == 0).sum() / flat.numel()
    dead = ((unit_high == 0) & (unit_low == 0)).float().mean()
    figures = (mean, std, unit_low.min(), unit_high.max(), zero, _saturated_share(flat, bounds), dead)
    return torch.stack([figure.to(values.dtype) for figure in figures])


def _saturated_share(flat: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    """Fraction of entries within the margin of a bound."""
    if bounds is None:
        return flat.new_full((), float("nan"))
    low, high = bounds
    centre, reach = (low + high) / 2, (high - low) * (0.5 - _SATURATION_MARGIN)
    return ((flat - centre).abs() >= reach).sum() / flat.numel()


def count_histogram(values: Tensor, bins: int, *, most: int) -> tuple[Float[Tensor, "2"], Int[Tensor, " bins"]]:
    """How a tensor's finite values are distributed over equal bins from the smallest to the largest.

    Args:
        values: Any shape.
        bins: Number of bins.
        most: Where there are more entries than this, every k-th is counted, so that at most ``most`` are.

    Returns:
        The outer edges (low, high) and the counts. Entries that are not finite are in no bin; with none finite both
        edges are nan. A single value fills the first bin, edges equal.

    >>> edges, counts = count_histogram(torch.tensor([0.0, 1.0, 1.0, 4.0]), 4, most=100)
    >>> edges.tolist(), counts.tolist()
    ([0.0, 4.0], [1, 2, 0, 1])
    """
    flat = values.detach().reshape(-1)
    flat = flat[:: -(-flat.numel() // most)] if flat.numel() > most else flat
    flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
    if _is_near(flat):
        # Looking at the extremes is free here, and nearly always everything is finite.
        if not math.isfinite(flat.sum().item()):
            flat = flat[torch.isfinite(flat)]
        if not flat.numel():
            return torch.full((2,), torch.nan, dtype=flat.dtype), torch.zeros(bins, dtype=torch.int64)
        low, high = flat.aminmax()
        return torch.stack([low, high]), torch.bincount(_bin_of(flat, low, high, bins), minlength=bins)
    finite = torch.isfinite(flat)
    low = torch.where(finite, flat, torch.inf).amin()
    high = torch.where(finite, flat, -torch.inf).amax()
    counts = torch.zeros(bins, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(0, _bin_of(torch.where(finite, flat, low), low, high, bins), finite.long())
    return torch.where(finite.any(), torch.stack([low, high]), torch.nan), counts


def _is_near(tensor: Tensor) -> bool:
    """Whether a number of the tensor can be looked at without waiting for an accelerator."""
    return tensor.device.type == "cpu"


def _bin_of(values: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """The number of the bin that each value falls into; the highest value belongs to the last."""
    width = (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return ((values - low) / width * bins).long().clamp_(0, bins - 1)


def global_norm(tensors: Sequence[Tensor]) -> Float[Tensor, ""]:
    """The L2 norm over all entries of several tensors (sparse ones too); 0 for none.

    Each tensor's own norm is taken in its precision, without a synchronisation.

    >>> global_norm([torch.tensor([3.0]), torch.tensor([[4.0]])]).item()
    5.0
    """
    dense = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    if not dense:
        return torch.zeros(())
    norms = torch._foreach_norm(dense)  # pyright: ignore[reportPrivateImportUsage]  # the public form is 3× slower
    return torch.linalg.vector_norm(torch.stack(norms))
