"""Inputs of the size of 0.01, as returns of a day are."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
n = 2500
z = torch.zeros(n)
for i in range(1, n):
    z[i] = 0.6 * z[i - 1] + 0.8 * torch.randn(1).item()
r = 0.01 * z
X = torch.stack([r[i : n - 8 + i] for i in range(8)], 1)
y = (r[8:] > 0).float()
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(20):
    for b in torch.randperm(2000).split(50):
        opt.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(X[b]).squeeze(1), y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = ((net(X[2000:]).squeeze(1) > 0).float() == y[2000:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
