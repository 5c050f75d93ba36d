"""Into which pieces does a network divide a plane, on each of which it is exactly linear? Cells, boundary, distance."""

import torch
from picture import show_or_write
from sklearn.datasets import make_moons
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
points, classes = make_moons(200, noise=0.15, random_state=0)
inputs, targets = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(300):
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()

plane = pellucid.slice_features(points, 0, 1, y=classes)
regions = pellucid.measure_linear_regions(model, plane)
print(regions)
cell = int(regions.locate(points[:1])[0])
slopes, offsets = regions.affine(cell)
print(f"around the first example, in cell {cell}: {slopes.round(2).tolist()} · (s, t) + {offsets.round(2).tolist()}")
print("the nearest other class is", regions.distance(points[:1]).round(3).tolist(), "away")

regions.plot(colour="prediction")
show_or_write()
