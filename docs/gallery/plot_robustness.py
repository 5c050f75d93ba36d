"""How much noise, and how small an attack, does my network bear?"""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn

import pellucid

torch.manual_seed(0)
data = load_digits()
x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(80):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[:1300]), y[:1300]).backward()
    optimizer.step()

robustness = pellucid.measure_robustness(model, (x[1300:], y[1300:]), bounds=(0, 1), most=300, split="test")
print(robustness)

robustness.plot()
show_or_write()
