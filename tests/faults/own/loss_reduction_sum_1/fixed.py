"""Squared errors summed over a batch of 200, plain gradient descent."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 6)
y = x[:, :1] ** 2 - x[:, 1:2]
net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
for epoch in range(20):
    for b in torch.randperm(800).split(200):
        loss = ((net(x[b]) - y[b]) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4g} val mse {((net(x[800:]) - y[800:]) ** 2).mean().item():.4g}")
