"""A forecast whose batches come in the order of time."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
t = torch.arange(2000) * 0.05
s = torch.sin(t) + 0.5 * torch.sin(2.7 * t) + 0.05 * torch.randn(2000)
f = torch.stack([s, torch.roll(s, 1), torch.roll(s, 2), torch.cos(0.2 * t), torch.roll(s, 5)], 1)[10:]
y = torch.roll(s, -3)[10:]
f, y = f[:-3], y[:-3]
net = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(30):
    for i in range(0, 1600, 50):
        opt.zero_grad()
        loss = F.mse_loss(net(f[i : i + 50]).squeeze(1), y[i : i + 50])
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        with torch.no_grad():
            v = F.mse_loss(net(f[1600:]).squeeze(1), y[1600:]).item()
        print(f"epoch {epoch} loss {loss.item():.4f} forecast mse {v:.4f}")
