"""Gradients cleared once an epoch, where every batch makes a step."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(1000, 10)
y = (x[:, :1] - x[:, 1:2] * x[:, 2:3])
loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=20, shuffle=True)
net = nn.Sequential(nn.Linear(10, 50), nn.Tanh(), nn.Linear(50, 1))
sgd = torch.optim.SGD(net.parameters(), lr=0.02)
for epoch in range(15):
    sgd.zero_grad()
    for xb, yb in loader:
        loss = nn.functional.mse_loss(net(xb), yb)
        loss.backward()
        sgd.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mse {nn.functional.mse_loss(net(x[800:]), y[800:]).item():.4f}")
