"""What does the loss look like in the plane that training moved in?"""

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
checkpoints = []
for _ in range(60):
    checkpoints.append({name: value.clone() for name, value in model.state_dict().items()})
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()

landscape = pellucid.measure_loss_landscape(
    model, (inputs, targets), directions="path", path=checkpoints[::6], steps=17
)
print(landscape)
landscape.plot()
show_or_write()
