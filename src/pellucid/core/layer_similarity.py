"""Linear CKA between the layers of a network from batches, without a matrix of examples × examples."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LayerSimilarity"]


class LayerSimilarity:
    """Linear centred kernel alignment between layers, by the unbiased estimator of HSIC on batches.

    Kornblith, Norouzi, Lee and Hinton (2019) define CKA = HSIC(K, L)/√(HSIC(K, K) HSIC(L, L)); each HSIC is here the
    mean over batches, weighed by their examples, of the unbiased estimator of Song et al. (2012), as Nguyen, Raghu and
    Kornblith (2021, eq. 3) propose, so that the size of the batches matters to the noise only. Memory: layers² a batch,
    and one batch's kernels.

    >>> torch.manual_seed(0) and None
    >>> seen = LayerSimilarity(2)
    >>> x = torch.randn(20, 3)
    >>> seen.update([x, 2 * x])
    >>> round(float(seen.cka()[0][0, 1]), 6)
    1.0
    """

    def __init__(self, layers: int) -> None:
        self.layers = layers
        self._parts: list[Tensor] = []

    def update(self, features: list[Tensor]) -> None:
        """Add one batch of every layer's (examples, features); a batch of fewer than four examples has no estimate."""
        count = len(features[0])
        if count < 4:
            return
        kernels = torch.empty(self.layers, count * count, dtype=torch.float64)
        sums = torch.empty(self.layers, count, dtype=torch.float64)
        for index, one in enumerate(features):
            centred = one.double() - one.double().mean(dim=0)
            kernel = centred @ centred.T
            kernel.fill_diagonal_(0.0)
            kernels[index], sums[index] = kernel.flatten(), kernel.sum(dim=1)
        totals = sums.sum(dim=1)
        # Song et al. 2012, eq. 5, for all pairs at once.
        whole = kernels @ kernels.T + torch.outer(totals, totals) / ((count - 1) * (count - 2))
        whole -= (2 / (count - 2)) * (sums @ sums.T)
        self._parts.append(whole * (1 / (count - 3)))  # weighs a batch by its examples

    def cka(self) -> tuple[Tensor, Tensor]:
        """The alignment of each two layers and its standard error by leaving out batches in turn; nan for one batch."""
        if not self._parts:
            missing = torch.full((self.layers, self.layers), torch.nan, dtype=torch.float64)
            return missing, missing.clone()
        parts = torch.stack(self._parts)
        whole = parts.sum(dim=0)
        found, count = _align(whole), len(parts)
        if count == 1:
            return found, torch.full_like(found, torch.nan)
        without = torch.stack([_align(whole - part) for part in parts])
        spread = (without - without.mean(dim=0)).square().sum(dim=0)
        return found, (spread * (count - 1) / count).sqrt()


def _align(whole: Tensor) -> Tensor:
    own = whole.diagonal()
    size = torch.where(own > 0, own, torch.nan).sqrt()
    return whole / torch.outer(size, size)
