"""A hand-written loss between (n, 1) and (n,)."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(900, 7)
y = x[:, 0] * 2 + x[:, 1] - x[:, 2]
net = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(15):
    for b in torch.randperm(700).split(28):
        out = net(x[b]).squeeze(1)
        loss = (out - y[b]).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mae {(net(x[700:]).squeeze(1) - y[700:]).abs().mean().item():.4f}")
