"""Rows are divided by their length; some rows are zero after relu."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(800, 6)
y = (x[:, 0] > x[:, 1]).long()
first, second = nn.Linear(6, 3), nn.Linear(3, 2)
opt = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=1e-2)
for epoch in range(10):
    for b in torch.randperm(640).split(32):
        h = torch.relu(first(x[b]))
        h = h / (h.norm(dim=1, keepdim=True) + 1e-6)
        loss = nn.functional.cross_entropy(second(h), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")
