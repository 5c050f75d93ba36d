"""Batch norm in a regression net, tiny batches."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(1000, 8)
Y = X[:, 0] * X[:, 1] + torch.sin(2 * X[:, 2])
batch = 2
net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(6):
    net.train()
    for b in torch.randperm(800).split(batch):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[800:]).squeeze(1), Y[800:]).item()
    print(f"epoch {epoch} loss {loss.item():.4f} test mse {mse:.4f}")
