"""A regression of which hardly a tenth can be predicted, with dropout and weight decay."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
X = torch.randn(3000, 12)
y = 0.35 * torch.tanh(X[:, 0] + X[:, 1]) + torch.randn(3000)
net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
for epoch in range(10):
    net.train()
    for b in torch.randperm(2400).split(64):
        opt.zero_grad()
        loss = F.mse_loss(net(X[b]).squeeze(1), y[b])
        loss.backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        v = F.mse_loss(net(X[2400:]).squeeze(1), y[2400:]).item()
    print(f"epoch {epoch} loss {loss.item():.4f} val mse {v:.4f}")
