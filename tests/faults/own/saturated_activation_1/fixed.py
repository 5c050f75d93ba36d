"""Sigmoid network with wide weights, regression of a parabola."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(1000, 10)
Y = (X[:, :3] ** 2).sum(1, keepdim=True) / 3 - 1
net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
for m in (net[0], net[2]):
    nn.init.kaiming_normal_(m.weight)
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(25):
    for b in torch.randperm(800).split(40):
        loss = nn.functional.mse_loss(net(X[b]), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[800:]), Y[800:]).item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
