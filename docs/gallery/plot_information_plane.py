"""What does each layer keep of the input and know of the label, over training? The setting of Saxe et al. (2018)."""

import copy

import torch
from picture import show_or_write
from torch import nn

import pellucid

torch.manual_seed(0)
x = (torch.rand(1024, 12) > 0.5).float()
y = ((x[:, :4].sum(1) - x[:, 4:8].sum(1) + x[:, 8] * x[:, 9]) > 0).long()

model = nn.Sequential(
    *(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2))
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
epochs = {}
for epoch in range(301):
    if epoch in (0, 3, 10, 30, 100, 300):
        epochs[epoch] = copy.deepcopy(model)
    for part in torch.randperm(len(x)).split(256):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[part]), y[part]).backward()
        optimizer.step()

plane = pellucid.measure_information_plane(epochs, (x, y), layers=["1", "3", "5"], bin_range=(-1, 1))
print(plane)

plane.plot()
show_or_write()
