"""Small passes with round numbers, so that a reader can follow every explanation with pencil and paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.lenses.trace import Trace, trace
from pellucid.results.explanation import Explanation


class Classifier(nn.Module):
    """Two inputs, two hidden neurons, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 2)
        self.output = nn.Linear(2, 3)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[0.5, -1.0, 0.25], [1.0, 0.5, -0.5]]))
            self.hidden.bias.copy_(torch.tensor([0.1, -0.2]))
            self.output.weight.copy_(torch.tensor([[1.0, -0.5], [0.5, 1.0], [-1.0, 0.25]]))
            self.output.bias.copy_(torch.tensor([0.0, 0.1, -0.1]))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, 3) to (batch, 3)."""
        return self.output(torch.relu(self.hidden(features)))


def classifier() -> Trace:
    model = Classifier()
    features = torch.tensor([[2.0, 0.5, 1.0], [1.0, -1.0, 2.0]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    return trace(model, features, target=torch.tensor([0, 1]), loss=functional.cross_entropy, optimizer=optimizer)


class Picture(nn.Module):
    """One 2 × 2 filter over a 4 × 4 picture, then the largest of each 2 × 2 window."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Conv2d(1, 1, 2)
        self.pool = nn.MaxPool2d(2, stride=1)
        with torch.no_grad():
            self.edge.weight.copy_(torch.tensor([[[[1.0, -1.0], [0.5, -0.5]]]]))
            self.edge.bias.fill_(0.25)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 1, 4, 4) to (batch, 1, 2, 2)."""
        return self.pool(self.edge(image))


def picture() -> Trace:
    image = torch.tensor([[[[1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 0.0], [2.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 2.0]]]])
    return trace(Picture(), image, target=torch.zeros(1, 1, 2, 2), loss=functional.mse_loss)


class Normalized(nn.Module):
    """One channel, normalised over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        with torch.no_grad():
            self.norm.weight.fill_(2.0)
            self.norm.bias.fill_(0.5)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, 1) to (batch, 1)."""
        return self.norm(features)


def normalized() -> Trace:
    features = torch.tensor([[1.0], [2.0], [6.0]])
    return trace(Normalized(), features, target=torch.tensor([[0.0], [0.0], [3.0]]), loss=functional.mse_loss)


class Memory(nn.Module):
    """One LSTM unit that reads one number a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(1, 1, batch_first=True)
        with torch.no_grad():  # the rows belong to the input gate, forget gate, candidate and output gate
            self.cell.weight_ih_l0.copy_(torch.tensor([[1.0], [0.5], [2.0], [1.0]]))
            self.cell.weight_hh_l0.copy_(torch.tensor([[0.5], [1.0], [-0.5], [0.25]]))
            self.cell.bias_ih_l0.copy_(torch.tensor([0.0, 1.0, 0.0, 0.5]))
            self.cell.bias_hh_l0.zero_()

    def forward(self, series: Tensor) -> Tensor:
        """(batch, steps, 1) to (batch, steps, 1)."""
        return self.cell(series)[0]


def memory() -> Trace:
    return trace(Memory(), torch.tensor([[[1.0], [0.0], [-1.0], [0.5]]]))


class Attention(nn.Module):
    """Two positions that look at each other with two features."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(batch, positions, features) each."""
        return functional.scaled_dot_product_attention(query, key, value)


def attention() -> Trace:
    query = torch.tensor([[[1.0, 0.0], [0.5, 1.0]]])
    key = torch.tensor([[[2.0, 1.0], [0.0, 1.0]]])
    value = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]]])
    return trace(Attention(), query, key, value)


class Gated(nn.Module):
    """One GRU unit that reads one number a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(1, 1, batch_first=True)
        with torch.no_grad():  # the rows belong to the reset gate, update gate and candidate
            self.cell.weight_ih_l0.copy_(torch.tensor([[1.0], [0.5], [2.0]]))
            self.cell.weight_hh_l0.copy_(torch.tensor([[0.5], [1.0], [-0.5]]))
            self.cell.bias_ih_l0.copy_(torch.tensor([0.0, 1.0, 0.0]))
            self.cell.bias_hh_l0.zero_()

    def forward(self, series: Tensor) -> Tensor:
        """(batch, steps, 1) to (batch, steps, 1)."""
        return self.cell(series)[0]


def gated() -> Trace:
    return trace(Gated(), torch.tensor([[[1.0], [0.0], [-1.0], [0.5]]]))


class Levelled(nn.Module):
    """Four features, each example normalised by itself, beside what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, 4) to (batch, 4)."""
        return features + self.norm(features)


def levelled() -> Trace:
    return trace(Levelled(), torch.tensor([[1.0, 2.0, 6.0, 3.0]]), target=torch.zeros(1, 4), loss=functional.mse_loss)


class Judge(nn.Module):
    """Two inputs, one score."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(2, 1)
        with torch.no_grad():
            self.score.weight.copy_(torch.tensor([[1.0, -0.5]]))
            self.score.bias.fill_(0.5)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, 2) to (batch, 1)."""
        return self.score(features)


def judge() -> Trace:
    features = torch.tensor([[1.0, 2.0], [-2.0, 1.0]])
    return trace(
        Judge(), features, target=torch.tensor([[0.0], [1.0]]), loss=functional.binary_cross_entropy_with_logits
    )


EXPLANATIONS: dict[str, Callable[[], Explanation]] = {
    "dense_neuron": lambda: classifier()["hidden"].neuron(0, example=0).explain(),
    "cross_entropy": classifier().loss.explain,
    "prediction_minus_truth": lambda: classifier().gradient("output", (0, 0)).explain(),
    "chain_rule": lambda: classifier().gradient("hidden.weight", (1, 0)).explain(),
    "adamw_update": lambda: classifier().update("hidden.weight", (1, 0)).explain(),
    "batch_norm": lambda: normalized()["norm"].neuron(0, example=2).explain(),
    "batch_norm_paths": lambda: normalized().gradient("features", (2, 0)).explain(),
    "lstm_gate": lambda: memory().inside("cell", "l0.t3.forget_gate", (0, 0)),
    "lstm_output": lambda: memory()["cell"].entry((0, 3, 0)).explain(),
    "attention_weight": lambda: attention().inside(0, "weights", (0, 1, 0)),
    "attention_output": lambda: attention()[""].entry((0, 1, 0)).explain(),
    "max_pool_tie": lambda: picture()["pool"].neuron(0, position=(0, 0)).explain(),
    "max_pool_loser": lambda: picture().gradient("edge", (0, 0, 1, 1)).explain(),
    "gru_output": lambda: gated()["cell"].entry((0, 3, 0)).explain(),
    "layer_norm": lambda: levelled()["norm"].neuron(2, example=0).explain(),
    "residual": lambda: levelled()[""].entry((0, 2)).explain(),
    "binary_cross_entropy": judge().loss.explain,
    "probability_minus_target": lambda: judge().gradient("score", (1, 0)).explain(),
    "squared_error_slope": lambda: picture().gradient("pool", (0, 0, 0, 1)).explain(),
    "squared_error": picture().loss.explain,
    "convolution": lambda: picture()["edge"].neuron(0, position=(0, 1)).explain(),
}
