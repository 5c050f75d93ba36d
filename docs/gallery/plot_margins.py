"""How far are my examples from where the decision changes?"""

import torch
from picture import show_or_write
from sklearn.datasets import load_iris
from torch import nn

import pellucid

torch.manual_seed(0)
data = load_iris()
x, y = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
x = (x - x.mean(0)) / x.std(0)

model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

margins = pellucid.measure_margins(model, (x, y), class_names=tuple(data.target_names))
print(margins)
print(margins.to_frame(kind="classes"))

margins.plot(kind="input_distance")
show_or_write()
