"""Where does a network bend on the way from one example to another? Its exact breakpoints along a line."""

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

line = pellucid.measure_regions_on_line(model, points[0], points[1])
print(line)

line.plot()
show_or_write()
