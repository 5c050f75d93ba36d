"""Workers that load and vary the data, with random streams of their own."""

import random

import numpy as np
import torch
from digest import say
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self):
        self.rows = torch.arange(60).float().unsqueeze(1)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index] / 60 + 0.01 * torch.randn(1) + random.random() * 0.01, self.rows[index] > 30


def main():
    torch.manual_seed(8)
    loader = DataLoader(Noisy(), batch_size=10, shuffle=True, num_workers=2, persistent_workers=True)
    net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    losses = []
    for _ in range(3):
        for x, y in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(net(x), y.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() + random.random() + np.random.rand())
    say(losses, net)


if __name__ == "__main__":
    main()
