"""What is worth saying of a module in half a line: "3×3, 16 → 32, stride 2"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["describe_module"]


def describe_module(module: nn.Module) -> str:
    """The settings of a module that shape what it computes; '' for kinds that have none or are not known."""
    for kinds, describe in _DESCRIPTIONS:
        if isinstance(module, kinds):
            return describe(module)
    return ""


def _size(value: Any) -> str:
    """A kernel size or stride, said once where it is the same along every axis."""
    return "×".join(str(entry) for entry in value) if isinstance(value, tuple) else str(value)


def _is_one(value: Any) -> bool:
    return all(entry == 1 for entry in value) if isinstance(value, tuple) else value == 1


def _convolution(module: Any) -> str:
    parts = [_size(module.kernel_size), f"{module.in_channels} → {module.out_channels}"]
    parts += [f"stride {_size(module.stride)}"] if not _is_one(module.stride) else []
    parts += [f"dilation {_size(module.dilation)}"] if not _is_one(module.dilation) else []
    parts += [f"{module.groups} groups"] if module.groups > 1 else []
    return ", ".join(parts)


def _recurrent(module: Any) -> str:
    parts = [f"{module.input_size} → {module.hidden_size}"]
    parts += [f"{module.num_layers} layers"] if module.num_layers > 1 else []
    parts += ["bidirectional"] if module.bidirectional else []
    return ", ".join(parts)


def _pooling(module: Any) -> str:
    stride = module.stride if module.stride is not None else module.kernel_size
    same = stride == module.kernel_size
    return f"window {_size(module.kernel_size)}" + ("" if same else f", stride {_size(stride)}")


_DESCRIPTIONS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (nn.Linear, lambda m: f"{m.in_features} → {m.out_features}" + ("" if m.bias is not None else ", no bias")),
    (nn.modules.conv._ConvNd, _convolution),
    (nn.RNNBase, _recurrent),
    ((nn.Embedding, nn.EmbeddingBag), lambda m: f"{m.num_embeddings} entries → {m.embedding_dim}"),
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _pooling),
    (nn.modules.dropout._DropoutNd, lambda m: f"p = {m.p:g}"),
    (nn.modules.batchnorm._NormBase, lambda m: f"{m.num_features} channels"),
    (nn.LayerNorm, lambda m: f"over {_size(m.normalized_shape)}"),
    (nn.GroupNorm, lambda m: f"{m.num_groups} groups of {m.num_channels // m.num_groups}"),
    (nn.LeakyReLU, lambda m: f"slope {m.negative_slope:g}"),
)
