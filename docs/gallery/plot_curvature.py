"""How does the loss bend around my weights, and is the learning rate too large for it?"""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
digits = load_digits()
inputs, targets = torch.tensor(digits.data[:500] / 16, dtype=torch.float32), torch.tensor(digits.target[:500])
model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
for _ in range(60):
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()

curvature = pellucid.measure_curvature(model, (inputs, targets), top=3, learning_rate=0.3, density=2, density_steps=20)
print(curvature)
curvature.plot()
show_or_write()
