"""Recurrent networks: text or series in, one output a sequence or one a step. Padding changes nothing."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.training.mlp import dense_layers
from pellucid.training.spec import NetworkSpec

__all__ = ["RNN", "OneHot", "TokenEmbedding"]

_CELLS = {"plain": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class OneHot(nn.Module):
    """Each token as a vector of a single 1; padding (token 0) as zeros."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, steps)`` int64 to ``(batch, steps, vocabulary)`` floats."""
        vectors = torch.zeros(*tokens.shape, self.vocabulary_size, device=tokens.device)
        return vectors.scatter_(2, tokens[..., None], (tokens != 0).to(vectors.dtype)[..., None])

    def extra_repr(self) -> str:
        """The vocabulary's size, for ``repr``."""
        return str(self.vocabulary_size)


class TokenEmbedding(nn.Embedding):
    """A learned vector a token; padding (token 0) is a zero that is never trained."""

    def __init__(self, vocabulary_size: int, features: int) -> None:
        super().__init__(vocabulary_size, features, padding_idx=0)


class RNN(nn.Module):
    """(Embedding), recurrent layers ``rnn1, rnn2 …`` one module each, hidden layers ``fc1 …``, a linear ``output``.

    Every recurrent layer is a module of its own, so that a hook sees the activations of each. A bidirectional layer
    has a second module ``rnn1_backward`` that reads each sequence reversed within its own length. Text must be
    padded at the end with token 0: a sequence's length is the place of its last other token.
    """

    def __init__(
        self, spec: NetworkSpec, input_shape: tuple[int, ...], outputs: int, vocabulary_size: int | None = None
    ) -> None:
        super().__init__()
        self.layers, self.bidirectional, self.every_step = spec.layers, spec.bidirectional, spec.output == "every"
        if self.every_step and spec.bidirectional and vocabulary_size is not None:
            raise SettingsError(
                "a bidirectional network would read the tokens that it has to predict",
                place="network.bidirectional",
                remedy="use bidirectional false with output every, or output last",
            )
        if vocabulary_size is None:
            self.embedding, features = None, input_shape[-1]
        elif spec.embedding == "one_hot":
            self.embedding, features = OneHot(vocabulary_size), vocabulary_size
        else:
            self.embedding, features = TokenEmbedding(vocabulary_size, spec.embedding), spec.embedding
        for number in range(1, spec.layers + 1):
            self.add_module(f"rnn{number}", _CELLS[spec.cell](features, spec.hidden, batch_first=True))
            if spec.bidirectional:
                self.add_module(f"rnn{number}_backward", _CELLS[spec.cell](features, spec.hidden, batch_first=True))
            features = spec.hidden * (2 if spec.bidirectional else 1)
            if spec.normalization == "layer":
                self.add_module(f"rnn{number}_norm", nn.LayerNorm(features))
            if spec.dropout > 0:
                self.add_module(f"rnn{number}_drop", nn.Dropout(spec.dropout))
        head, features = dense_layers(features, spec.head_widths, spec)
        self.head = nn.Sequential(OrderedDict(head, output=nn.Linear(features, outputs)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of each sequence or step.

        Args:
            inputs: ``(batch, steps)`` int64 tokens, padded at the end with 0, or ``(batch, steps, features)`` floats.

        Returns:
            ``(batch, outputs)``, or ``(batch, steps, outputs)`` for many-to-many, whose padded steps mean nothing.
        """
        lengths = None
        features = inputs
        if self.embedding is not None:
            lengths = _lengths(inputs)
            features = self.embedding(inputs)
        for number in range(1, self.layers + 1):
            ahead = getattr(self, f"rnn{number}")(features)[0]
            if self.bidirectional:
                order = _reversal(features.shape[1], lengths, features.device)
                behind = getattr(self, f"rnn{number}_backward")(_reorder(features, order))[0]
                ahead = torch.cat((ahead, _reorder(behind, order)), dim=-1)
            features = ahead
            for part in (f"rnn{number}_norm", f"rnn{number}_drop"):
                if part in self._modules:
                    features = getattr(self, part)(features)
        return self.head(features if self.every_step else self._ends(features, lengths))

    def _ends(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """The state at each sequence's end: the last valid step, and for the backward direction the first step."""
        if lengths is None:
            last = features[:, -1]
        else:
            last = features[torch.arange(len(features), device=features.device), lengths - 1]
        if not self.bidirectional:
            return last
        half = features.shape[-1] // 2
        return torch.cat((last[:, :half], features[:, 0, half:]), dim=-1)


def _lengths(tokens: Tensor) -> Tensor:
    """``(batch,)`` the place of the last token that is not padding, counted from 1; at least 1."""
    places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    return ((tokens != 0) * places).amax(dim=1).clamp(min=1)


def _reversal(steps: int, lengths: Tensor | None, device: torch.device) -> Tensor:
    """``(batch or 1, steps)`` the step to read at each place, so that sequences run backwards and padding stays."""
    places = torch.arange(steps, device=device)[None]
    if lengths is None:
        return places.flip(1)
    mirrored = lengths[:, None] - 1 - places
    return torch.where(mirrored >= 0, mirrored, places)


def _reorder(features: Tensor, order: Tensor) -> Tensor:
    """Steps in another order, each example by its own."""
    return features.gather(1, order[:, :, None].expand(len(features), -1, features.shape[-1]))
