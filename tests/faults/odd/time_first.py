"""A recurrent layer given time first, as it wants it."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
T, B = 12, 32


class R(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.GRU(3, 24)
        self.o = nn.Linear(24, 2)

    def forward(self, x):
        return self.o(self.g(x)[0][-1])


x = torch.randn(T, 1200, 3)
y = (x[:, :, 0].cumsum(0).max(0).values > 2.2).long()
net = R()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    for b in torch.randperm(1000).split(B):
        opt.zero_grad()
        loss = F.cross_entropy(net(x[:, b]), y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[:, 1000:]).argmax(1) == y[1000:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
