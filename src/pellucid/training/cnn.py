"""Convolutional networks: stages of convolutions, each halving the image, then a fully connected head."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.training.activations import build_activation
from pellucid.training.mlp import dense_layers
from pellucid.training.spec import NetworkSpec

__all__ = ["CNN", "Stage"]


class Stage(nn.Module):
    """Convolutions ``conv1, norm1, act1, conv2 …`` of equal width, then ``pool``; optionally with a residual sum.

    With ``residual`` the sum stands before the last activation: act(convolutions(x) + shortcut(x)) (He et al. 2016).
    """

    def __init__(self, spec: NetworkSpec, channels_in: int, channels: int) -> None:
        super().__init__()
        stride = 2 if spec.pooling == "stride" else 1
        names: list[str] = []
        for number in range(1, spec.convolutions + 1):
            first = number == 1
            self.add_module(
                f"conv{number}",
                nn.Conv2d(
                    channels_in if first else channels,
                    channels,
                    spec.kernel_size,
                    stride=stride if first else 1,
                    padding=spec.kernel_size // 2,
                    bias=spec.normalization != "batch",
                ),
            )
            names.append(f"conv{number}")
            if spec.normalization != "none":
                self.add_module(f"norm{number}", _normalization(spec, channels))
                names.append(f"norm{number}")
            self.add_module(f"act{number}", build_activation(spec.activation))
            names.append(f"act{number}")
        self._body, self._last = names[:-1], names[-1]
        self._residual = spec.residual
        if spec.residual:
            self.shortcut = _shortcut(spec, channels_in, channels, stride)
        if spec.pooling != "stride":
            self.pool = nn.MaxPool2d(2) if spec.pooling == "max" else nn.AvgPool2d(2)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, channels_in, height, width)`` to ``(batch, channels, about height / 2, about width / 2)``."""
        outputs = inputs
        for name in self._body:
            outputs = getattr(self, name)(outputs)
        if self._residual:
            outputs = outputs + self.shortcut(inputs)
        outputs = getattr(self, self._last)(outputs)
        return self.pool(outputs) if "pool" in self._modules else outputs


class CNN(nn.Sequential):
    """Stages ``stage1, stage2 …``, global pooling or flattening, hidden layers ``fc1 …`` and a linear ``output``."""

    def __init__(self, spec: NetworkSpec, input_shape: tuple[int, ...], outputs: int) -> None:
        channels, height, width = input_shape
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for number, channels_out in enumerate(spec.channels, start=1):
            modules[f"stage{number}"] = Stage(spec, channels, channels_out)
            channels = channels_out
            height, width = _halved(spec, height), _halved(spec, width)
            if min(height, width) == 0:
                raise SettingsError(
                    f"an image of {input_shape[1]}×{input_shape[2]} cannot be halved {len(spec.channels)} times",
                    place="network.channels",
                    remedy=f"use at most {number - 1} stages, or larger images",
                )
        if spec.global_pooling:
            modules["global_pool"] = nn.AdaptiveAvgPool2d(1)
            height = width = 1
        modules["flatten"] = nn.Flatten()
        if spec.dropout > 0:
            modules["drop"] = nn.Dropout(spec.dropout)
        head, features = dense_layers(math.prod((channels, height, width)), spec.head_widths, spec)
        modules.update(head)
        modules["output"] = nn.Linear(features, outputs)
        super().__init__(modules)

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` floats to ``(batch, outputs)`` logits or predictions."""
        return super().forward(_channels_last(input) if input.device.type == "cpu" else input)


def _channels_last(images: Tensor) -> Tensor:
    """The same images with the channels of a pixel side by side in memory.

    CPU kernels for convolution and pooling run about 1.5 times as fast on that layout, and every layer keeps it.
    """
    if images.shape[1] > 1:
        return images.contiguous(memory_format=torch.channels_last)
    # With one channel both layouts are the same memory; only these strides say which one is meant.
    return images.reshape(len(images), *images.shape[2:], 1).permute(0, 3, 1, 2)


def _normalization(spec: NetworkSpec, channels: int) -> nn.Module:
    """A batch norm, or the layer norm of images: one group over channels and positions."""
    return nn.BatchNorm2d(channels) if spec.normalization == "batch" else nn.GroupNorm(1, channels)


def _shortcut(spec: NetworkSpec, channels_in: int, channels: int, stride: int) -> nn.Module:
    """The identity, or a 1×1 convolution where the stage changes the shape."""
    if channels_in == channels and stride == 1:
        return nn.Identity()
    bias = spec.normalization != "batch"
    modules = OrderedDict[str, nn.Module](conv=nn.Conv2d(channels_in, channels, 1, stride=stride, bias=bias))
    if spec.normalization != "none":
        modules["norm"] = _normalization(spec, channels)
    return nn.Sequential(modules)


def _halved(spec: NetworkSpec, side: int) -> int:
    """A side after one stage: a strided convolution keeps an odd remainder, a pooling drops it."""
    return -(-side // 2) if spec.pooling == "stride" else side // 2
