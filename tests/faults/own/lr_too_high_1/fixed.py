"""Regression with a rate far too high."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(800, 6)
Y = torch.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 2
net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 1))
rate = 0.02
opt = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
for epoch in range(15):
    for b in torch.randperm(600).split(30):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[600:]).squeeze(1), Y[600:]).item()
    print(f"epoch {epoch} loss {loss.item():.4g} test mse {mse:.4g}")
