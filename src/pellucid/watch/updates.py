"""What one optimiser step does to the parameters of each layer: norms of gradient, weight and update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.core.transfer import Transfer

__all__ = ["MOST_KEPT_BYTES", "UPDATE_FIGURES", "UpdateMeasure", "UpdateSquares"]

UPDATE_FIGURES = ("gradient_norm", "weight_norm", "update_ratio")

MOST_KEPT_BYTES = 64 * 1024 * 1024
"""Of the weights before the update at most about this much is kept; of more, an even share of blocks of each tensor."""

_BLOCK = 4096


class UpdateSquares:
    """Sums of squares of one step, tensor by tensor, some of them perhaps still on a device.

    Args:
        layers: The numbers of the layers.
        starts: Where each layer's tensors begin.
        squares: One row a tensor: gradient, weight, weight where it was kept, update there.
        had_gradient: Which tensors had one.
        far: Rows that ``transfer`` will fill.
        transfer: The norms of these: all gradients, all weights, and so on.
    """

    def __init__(  # noqa: PLR0917  # made in one place
        self,
        layers: np.ndarray,
        starts: np.ndarray,
        squares: np.ndarray,
        had_gradient: np.ndarray,
        far: list[int],
        transfer: Transfer | None,
    ) -> None:
        self.layers, self._starts, self._squares, self._had_gradient = layers, starts, squares, had_gradient
        self._far, self._transfer = far, transfer

    @property
    def is_ready(self) -> bool:
        """Whether ``norms`` would not have to wait for a device."""
        return self._transfer is None or self._transfer.is_ready

    def norms(self) -> tuple[np.ndarray, np.ndarray]:
        """The ``UPDATE_FIGURES``, one row a layer, and which there are: without a gradient no gradient's norm."""
        if not len(self.layers):
            return np.zeros((0, 3)), np.zeros((0, 3), dtype=bool)
        if self._transfer is not None:
            arrived = np.array(self._transfer.numbers(), dtype=np.float64).reshape(4, -1)
            self._squares[self._far] = np.square(arrived.T)
        norms = np.sqrt(np.add.reduceat(self._squares, self._starts))
        given = np.ones((len(norms), 3), dtype=bool)
        given[:, 0] = np.logical_or.reduceat(self._had_gradient, self._starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([norms[:, 0], norms[:, 1], norms[:, 3] / norms[:, 2]], axis=1), given


class UpdateMeasure:
    """Looks at parameters before and after an optimiser step.

    Float32 weights in the processor's memory are read in one pass before the step and one after it; on any other device
    and in any other type by multi-tensor operations, whose results are fetched without waiting.

    Args:
        parameters: Each layer's own, by the layer's number.
    """

    def __init__(self, parameters: Mapping[int, Sequence[nn.Parameter]]) -> None:
        self._parameters = [p for own in parameters.values() for p in own]
        self._layers = np.array(list(parameters), dtype=np.int64)
        self._starts = np.cumsum([0, *(len(own) for own in parameters.values())])[:-1]
        self._sizes = np.array([p.numel() for p in self._parameters], dtype=np.int64)
        self.stride = max(1, -(-4 * int(self._sizes.sum()) // MOST_KEPT_BYTES))
        """Of every so many blocks of a tensor one is kept."""
        self._kept: dict[int, Tensor] = {}
        self._near: list[int] = []
        self._far: list[int] = []
        self._far_kept: list[Tensor] = []
        self._far_norms: list[Tensor] = []
        self._squares = np.zeros((0, 4))
        self._had_gradient = np.zeros(0, dtype=bool)
        self.kept_bytes = 0
        """The most memory that copies of weights took."""

    def before(self, *, fast: bool) -> None:
        """Take the gradients' norms and keep what the weights are. ``fast`` allows the compiled passes."""
        gradients = [p.grad for p in self._parameters]
        self._had_gradient = np.array([gradient is not None for gradient in gradients], dtype=bool)
        self._squares = np.zeros((len(gradients), 4))
        self._near, self._far = self._divide(gradients) if fast else ([], list(range(len(gradients))))
        if self._near:
            self._before_near(gradients)
        if self._far:
            weights = [self._parameters[i].detach() for i in self._far]
            self._far_kept = [self._blocks(weight).clone() for weight in weights]
            self._far_norms = [*_norms([gradients[i] for i in self._far], weights), *_norms(weights, weights)]
        kept = [*self._kept.values(), *self._far_kept]
        self.kept_bytes = max(self.kept_bytes, sum(each.numel() * each.element_size() for each in kept))

    def after(self) -> UpdateSquares:
        """Take what the weights became."""
        transfer = None
        if self._near:
            self._after_near()
        if self._far:
            now = [self._blocks(self._parameters[i].detach()) for i in self._far]
            moved: list[Tensor | None] = [n - before for n, before in zip(now, self._far_kept, strict=True)]
            transfer = Transfer([*self._far_norms, *_norms(self._far_kept, now), *_norms(moved, now)])
            self._far_kept, self._far_norms = [], []
        return UpdateSquares(self._layers, self._starts, self._squares, self._had_gradient, self._far, transfer)

    def _divide(self, gradients: list[Tensor | None]) -> tuple[list[int], list[int]]:
        """Numbers of the parameters that the passes can read, and of the others."""
        from pellucid.core.tensor_pass import is_plain

        near: list[int] = []
        far: list[int] = []
        for i, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            plain = is_plain(parameter) and (gradient is None or is_plain(gradient))
            (near if plain else far).append(i)
        return near, far

    def _before_near(self, gradients: list[Tensor | None]) -> None:
        from pellucid.core.tensor_pass import addresses, measure_before_update

        for i in self._near:
            if i not in self._kept:
                self._kept[i] = torch.empty(self._kept_size(int(self._sizes[i])))
        weights = addresses([self._parameters[i] for i in self._near])
        seen = np.zeros((len(self._near), 2))
        measure_before_update(
            weights,
            addresses([gradients[i] for i in self._near]),
            addresses([self._kept[i] for i in self._near]),
            self._sizes[self._near],
            _BLOCK,
            self.stride,
            seen,
        )
        self._squares[self._near, :2] = seen

    def _after_near(self) -> None:
        from pellucid.core.tensor_pass import addresses, measure_after_update

        weights = addresses([self._parameters[i] for i in self._near])
        kept = addresses([self._kept[i] for i in self._near])
        moved = np.zeros((len(self._near), 2))
        measure_after_update(weights, kept, self._sizes[self._near], _BLOCK, self.stride, moved)
        self._squares[self._near, 2:] = moved

    def _kept_size(self, size: int) -> int:
        whole, rest = divmod(size, _BLOCK * self.stride)
        return whole * _BLOCK + min(rest, _BLOCK)

    def _blocks(self, values: Tensor) -> Tensor:
        """The share of a tensor that is kept, as a view where that can be."""
        span = _BLOCK * self.stride
        if self.stride == 1:
            return values
        flat = values.reshape(-1)
        return flat[:_BLOCK] if len(flat) < span else flat[: len(flat) // span * span].reshape(-1, span)[:, :_BLOCK]


def _norms(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each tensor, on its device; 0 for None."""
    there = [_summable(tensor) for tensor in tensors if tensor is not None]
    found = iter(torch._foreach_norm(there) if there else [])  # pyright: ignore[reportPrivateImportUsage]
    return [
        next(found) if tensor is not None else one.new_zeros((), dtype=torch.float32)
        for tensor, one in zip(tensors, like, strict=True)
    ]


def _summable(tensor: Tensor) -> Tensor:
    """Dense, and in a type whose squares do not overflow."""
    dense = tensor.detach()
    dense = dense.coalesce().values() if dense.is_sparse else dense
    return dense if dense.dtype in (torch.float32, torch.float64) else dense.float()
