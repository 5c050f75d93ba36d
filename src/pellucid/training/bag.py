"""Bags of words: the mean of a text's word vectors, then an MLP. Order is lost, padding changes nothing."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from pellucid.training.mlp import dense_layers
from pellucid.training.spec import NetworkSpec

__all__ = ["Bag", "TermFrequency"]


class TermFrequency(nn.Module):
    """The share of each token among a text's tokens, padding (token 0) left out: the mean of one-hot vectors."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, steps)`` int64 to ``(batch, vocabulary)`` floats; zeros for a text of padding alone."""
        present = (tokens != 0).float()
        share = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.zeros(len(tokens), self.vocabulary_size, device=tokens.device).scatter_add_(1, tokens, share)

    def extra_repr(self) -> str:
        """The vocabulary's size, for ``repr``."""
        return str(self.vocabulary_size)


class Bag(nn.Sequential):
    """The mean ``embedding`` of a text's tokens, hidden layers ``fc1 …``, and a linear ``output``."""

    def __init__(self, spec: NetworkSpec, outputs: int, vocabulary_size: int) -> None:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        if spec.embedding == "one_hot":
            modules["embedding"], features = TermFrequency(vocabulary_size), vocabulary_size
        else:
            modules["embedding"] = nn.EmbeddingBag(vocabulary_size, spec.embedding, mode="mean", padding_idx=0)
            features = spec.embedding
        if spec.dropout > 0:
            modules["drop"] = nn.Dropout(spec.dropout)
        hidden, features = dense_layers(features, spec.widths, spec)
        modules.update(hidden)
        modules["output"] = nn.Linear(features, outputs)
        super().__init__(modules)

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, steps)`` int64 tokens, 0 for padding, to ``(batch, outputs)`` logits or predictions."""
        return super().forward(input)
