"""Regression net trained for one epoch."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.rand(2000, 3) * 4 - 2
Y = (torch.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:3]) / 1.4
EPOCHS = 40
loader = DataLoader(TensorDataset(X[:1600], Y[:1600]), batch_size=16, shuffle=True)
net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for epoch in range(EPOCHS):
    for xb, yb in loader:
        loss = nn.functional.mse_loss(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} test mse {nn.functional.mse_loss(net(X[1600:]), Y[1600:]).item():.4f}")
