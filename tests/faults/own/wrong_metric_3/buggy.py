"""Predictions of shape (n, 1) compared with labels of shape (n,)."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 6)
y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).float()
net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 1), nn.Sigmoid())
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    for b in torch.randperm(800).split(40):
        loss = nn.functional.binary_cross_entropy(net(x[b]), y[b].unsqueeze(1))
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        guess = (net(x[800:]) > 0.5).float()
        acc = (guess == y[800:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
