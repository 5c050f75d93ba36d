"""The figures of all layers at one sampled step, on their way into the run's tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from pellucid.core.tensor_summary import ACTIVATION_FIGURES
from pellucid.core.transfer import Transfer
from pellucid.watch.updates import UPDATE_FIGURES, UpdateSquares

__all__ = ["LAYER_COLUMNS", "LayerStep"]

_ACTIVATION_COLUMNS = tuple(f if f == "dead_units" else f"activation_{f}" for f in ACTIVATION_FIGURES)

LAYER_COLUMNS = ("examples", *_ACTIVATION_COLUMNS, *UPDATE_FIGURES)
"""The columns of the ``layers`` table that a sample fills, in the order of its figures."""

_SATURATED = LAYER_COLUMNS.index("activation_saturated")
_FIRST_UPDATE = len(LAYER_COLUMNS) - len(UPDATE_FIGURES)


class LayerStep:
    """One row a layer. What lies in the processor's memory is there at once, the rest arrives by a ``Transfer``.

    Args:
        step: The step's number.
        layers: How many layers there are.
    """

    def __init__(self, step: int, layers: int) -> None:
        self.step = step
        self.examples: dict[int, int] = {}
        """How many examples each layer's activation figures are over, by the layer's number."""
        self.far: dict[int, Tensor] = {}
        """Activation figures that are on a device."""
        self.histograms: list[tuple[int, str, tuple[float, float, np.ndarray], int]] = []
        """Layer, kind, edges and counts, elements of the tensor."""
        self.far_histograms: list[tuple[int, str, tuple[Tensor, Tensor], int]] = []
        self.updates: UpdateSquares | None = None
        self._figures = np.zeros((layers, len(LAYER_COLUMNS)))
        self._transfer: Transfer | None = None

    def has_activation(self, layer: int) -> bool:
        """Whether the layer's activation was seen in this step."""
        return layer in self.examples

    def activation_row(self, layer: int) -> np.ndarray:
        """Where a layer's activation figures go."""
        return self._figures[layer, 1:_FIRST_UPDATE]

    def send(self) -> None:
        """Nothing more will be seen: send what is on a device on its way."""
        tensors = [*self.far.values(), *(each for _, _, pair, _ in self.far_histograms for each in pair)]
        if tensors:
            self._transfer = Transfer(tensors)

    @property
    def is_ready(self) -> bool:
        """Whether the rows can be had without waiting for a device."""
        arrived = self._transfer is None or self._transfer.is_ready
        return arrived and (self.updates is None or self.updates.is_ready)

    def figures(self) -> tuple[np.ndarray, np.ndarray]:
        """The ``LAYER_COLUMNS``, one row a layer, and which of them there are."""
        figures = self._figures
        given = np.zeros(figures.shape, dtype=bool)
        seen = list(self.examples)
        if self._transfer is not None:
            self._take_over(self._transfer.numbers())
        figures[seen, 0] = list(self.examples.values())
        given[seen, :_FIRST_UPDATE] = True
        # Without bounds there is no saturation: that is no value, not a bad one.
        given[:, _SATURATED] &= ~np.isnan(figures[:, _SATURATED])
        if self.updates is not None:
            layers = self.updates.layers
            figures[layers, _FIRST_UPDATE:], given[layers, _FIRST_UPDATE:] = self.updates.norms()
        return figures, given

    def _take_over(self, numbers: list[list[float]]) -> None:
        """What arrived from a device."""
        for layer, row in zip(self.far, numbers, strict=False):
            self.activation_row(layer)[:] = row
        pairs = numbers[len(self.far) :]
        for (layer, kind, _, elements), edges, counts in zip(self.far_histograms, pairs[::2], pairs[1::2], strict=True):
            if np.isnan(counts).any():
                continue  # of a tensor without entries: on the device "meta"
            binned = (edges[0], edges[1], np.array(counts, dtype=np.int64))
            self.histograms.append((layer, kind, binned, elements))

    def histogram_rows(self, layers: list[str]) -> dict[str, list[Any]]:
        """Columns of the ``histograms`` table, once ``figures`` was called."""
        return {
            "step": [self.step] * len(self.histograms),
            "layer": [layers[layer] for layer, *_ in self.histograms],
            "kind": [kind for _, kind, *_ in self.histograms],
            "low": [low for *_, (low, _, _), _ in self.histograms],
            "high": [high for *_, (_, high, _), _ in self.histograms],
            "counts": [counts for *_, (_, _, counts), _ in self.histograms],
            "elements": [elements for *_, elements in self.histograms],
        }
