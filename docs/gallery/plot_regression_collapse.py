"""Has my regression collapsed? Two targets, sixty-four features below the last layer, with and without weight decay."""

import torch
from picture import show_or_write
from torch import nn

import pellucid

torch.manual_seed(0)
x = torch.randn(200, 10)
y = torch.stack([torch.sin(x[:, 0]) + x[:, 1], x[:, 1] - x[:, 2].abs() / 2], dim=1)
y = (y - y.mean(0)) / y.std(0)
for decay in (0.0, 1e-2):
    torch.manual_seed(0)
    hidden = [nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64)]
    model = nn.Sequential(*hidden, nn.Linear(64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
    for _ in range(1500):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    found = pellucid.measure_regression_collapse(model, (x, y), split="train")
    print(f"weight decay {decay}: NRC1 {found['nrc1']:.2g}, NRC2 {found['nrc2']:.2g}, NRC3 {found['nrc3']:.2g}")

print(found)
found.plot()
show_or_write()
