"""What does each neuron of my network hold over the input? A slope, shifted, clipped, summed into the next layer."""

import torch
from picture import show_or_write
from sklearn.datasets import make_moons
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
points, classes = make_moons(200, noise=0.15, random_state=0)
inputs, targets = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(300):
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()

plane = pellucid.slice_features(points, 0, 1, y=classes)
surfaces = pellucid.measure_neuron_surface(model, plane)
print(surfaces)
strongest = int(surfaces.layer("0").high.argmax())
print(f"neuron {strongest} of the first layer bends along", surfaces.hyperplane("0", strongest).tolist())

surfaces.plot(layer="0", unit=strongest, kind="stages", into=1)
show_or_write()
