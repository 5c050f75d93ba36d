"""Rates per head; some populations are 0."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(600, 5)
heads = torch.randint(1, 60, (600,)).float()
cases = heads * torch.sigmoid(X[:, 0])
rate = cases / heads
net = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(15):
    for b in torch.randperm(500).split(25):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), rate[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[500:]).squeeze(1), rate[500:]).item()
    print(f"epoch {epoch} loss {loss.item():.4f} test mse {mse:.4f}")
