"""A factorised layer and a linear bottleneck: layers back to back on purpose; nothing else is linear."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]
net = nn.Sequential(nn.Linear(64, 8, bias=False), nn.Linear(8, 96), nn.GELU(), nn.Linear(96, 12), nn.Linear(12, 48), nn.GELU(), nn.Linear(48, 10))
opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
for epoch in range(15):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[1400:]).argmax(1) == y[1400:]).float().mean().item():.3f}")
