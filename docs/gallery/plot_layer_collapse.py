"""How do the classes separate from layer to layer, and where has the network done its work?"""

from itertools import pairwise

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn

import pellucid

torch.manual_seed(0)
data = load_digits()
x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
widths = [64] * 7
stages = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())]
model = nn.Sequential(*stages, nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(60):
    for rows in torch.randperm(len(x)).split(128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

layers = pellucid.measure_layer_collapse(model, (x, y))
print(layers)

layers.plot()  # also kind="tunnel", kind="cka"
show_or_write()
