"""The modules a network runs, in order, with their shapes and who feeds whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.results.base import Result

__all__ = ["LayerOutline", "NetworkOutline"]


@dataclass(frozen=True)
class LayerOutline:
    """One leaf module, at its first call."""

    name: str  # qualified name, e.g. "stages.0.conv"
    kind: str  # class name, e.g. "Conv2d"
    description: str  # "3×3, 16 → 32, stride 2"; '' if nothing is worth saying
    input_shape: tuple[int, ...]  # without the batch axis; () if it is no single tensor
    output_shape: tuple[int, ...]
    parameters: int
    trainable_parameters: int
    calls: int  # times it runs in one forward pass


@dataclass(frozen=True, eq=False)
class NetworkOutline(Result):
    """What ``trace_network_outline`` saw in one forward pass: leaf modules in order of execution, and the data flow."""

    schema: ClassVar[str] = "network_outline/1"

    model: str  # class name of the root
    layers: tuple[LayerOutline, ...]
    edges: tuple[tuple[int, int], ...]  # (from, to), indices into layers; -1 stands for the input
    parameters: int  # unique, shared ones counted once
    trainable_parameters: int
    parameter_bytes: int
