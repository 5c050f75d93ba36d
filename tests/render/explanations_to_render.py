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
    return trace(
        model, features, target=torch.tensor([0, 1]), loss=functional.cross_entropy, optimizer=optimizer
    )


EXPLANATIONS: dict[str, Callable[[], Explanation]] = {
    "dense_neuron": lambda: classifier()["hidden"].neuron(0, example=0).explain(),
    "cross_entropy": lambda: classifier().loss.explain(),
    "prediction_minus_truth": lambda: classifier().gradient("output", (0, 0)).explain(),
    "chain_rule": lambda: classifier().gradient("hidden.weight", (1, 0)).explain(),
    "adamw_update": lambda: classifier().update("hidden.weight", (1, 0)).explain(),
}
