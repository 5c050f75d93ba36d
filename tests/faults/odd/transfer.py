"""A body trained on one task and frozen; a new head learns another."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]
body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
head = nn.Linear(32, 10)
opt = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
for epoch in range(10):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(head(body(x[b])), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
for p in body.parameters():
    p.requires_grad_(False)
body.eval()
parity = nn.Linear(32, 2)
opt = torch.optim.Adam(parity.parameters(), lr=5e-3)
for epoch in range(8):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(parity(body(x[b])), y[b] % 2)
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = (parity(body(x[1400:])).argmax(1) == y[1400:] % 2).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {acc:.3f}")
