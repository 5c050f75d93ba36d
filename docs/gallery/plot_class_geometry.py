"""Where do the classes lie, which are alike, and which features are they made of?"""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn

import pellucid

torch.manual_seed(0)
data = load_digits()
x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
for _ in range(600):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

geometry = pellucid.measure_class_geometry(model, (x, y), class_names=[f"digit {n}" for n in range(10)])
print(geometry)
print(geometry.to_frame(kind="features"))  # feature → classes, and the neurons it is made of

geometry.plot()  # also kind="corner", "cosines", "tree", "loadings"
show_or_write()
