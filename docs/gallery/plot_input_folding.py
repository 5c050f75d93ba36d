"""How does my network fold its input until a line can separate the classes? The plane, carried through every layer."""

import torch
from picture import show_or_write
from sklearn.datasets import make_circles
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
points, classes = make_circles(200, noise=0.05, factor=0.4, random_state=0)
inputs, targets = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
plane = pellucid.slice_features(points, 0, 1, y=classes)
folding = pellucid.measure_input_folding(model, plane)
for step in range(400):
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    if step % 50 == 49:  # aligned to the moment before, so that the picture moves smoothly
        folding = pellucid.measure_input_folding(model, plane, reference=folding)
print(folding)

folding.plot()
show_or_write()
