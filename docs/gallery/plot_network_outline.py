"""Which layers does my network run, and how are they wired? A residual branch shows as an edge that skips."""

import torch
from picture import show_or_write
from torch import nn

from pellucid.capture.network_outline import trace_network_outline


class Block(nn.Module):
    """Two convolutions with a way around the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.head = nn.ReLU(), nn.Linear(8 * 8 * 8, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, 1, 8, 8) to (batch, 10)."""
        hidden = self.act(self.first(image))
        return self.head((hidden + self.second(hidden)).flatten(1))


outline = trace_network_outline(Block(), torch.zeros(1, 1, 8, 8))
print(outline)
outline.plot()
show_or_write()
