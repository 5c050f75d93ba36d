"""Large fully connected layers through oneDNN where that is the faster library: on processors that are not Intel's.

PyTorch multiplies float32 matrices on a CPU with MKL, which on other makers' processors leaves half of AVX-512 unused.
oneDNN, which PyTorch has on board for convolutions, does not: 2.2 times the speed for 200×784 by 784×256 on one core of
an AMD EPYC 9005. Results differ by rounding; which library is used depends on the processor alone, so that a resumed
run repeats them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["SMALLEST", "fast_linears", "multiply", "oneDNN_is_faster"]

SMALLEST = 1 << 22
"""Multiplications below which a call costs more than it saves."""


@cache
def oneDNN_is_faster() -> bool:  # noqa: N802  # the library's own spelling
    """Whether this processor multiplies faster with oneDNN: it has AVX-512 and is not Intel's."""
    usable = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return usable and torch.backends.cpu.get_cpu_capability() == "AVX512" and not _is_intel()


def _is_intel() -> bool:
    listing = Path("/proc/cpuinfo")
    named = listing.read_text(errors="replace")[:400] if listing.is_file() else platform.processor()
    return "Intel" in named


def multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``inputs @ weight.T + bias`` by oneDNN: ``(batch, features)``, ``(units, features)`` and ``(units,)`` float32."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """A fully connected layer whose three products are oneDNN's."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides the parameters' names
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        to_inputs, to_weight, to_bias = ctx.needs_input_grad
        return (
            multiply(gradient, weight.t()) if to_inputs else None,
            multiply(gradient.t(), inputs.t()) if to_weight else None,
            gradient.sum(0) if to_bias else None,
        )


def _forward(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """What ``nn.Linear.forward`` does, by oneDNN where the product is large."""
    if inputs.ndim == 2 and inputs.dtype == torch.float32 and inputs.numel() * layer.out_features >= SMALLEST:
        return _Linear.apply(inputs, layer.weight, layer.bias)
    return nn.functional.linear(inputs, layer.weight, layer.bias)


@contextmanager
def fast_linears(model: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Let the fully connected layers of ``model`` use the faster library inside the block; nothing stays behind.

    Args:
        model: In float32 on a CPU.
        enabled: Whether to do so at all.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear] if enabled else []
    for layer in layers:
        vars(layer)["forward"] = partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]
