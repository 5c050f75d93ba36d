"""The class is looked for along the batch."""
import torch
from torch import nn
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

torch.manual_seed(0)
d = load_wine()
order = torch.randperm(len(d.target))
x, y = torch.tensor(scale(d.data)).float()[order], torch.tensor(d.target)[order]
net = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(20):
    for b in torch.randperm(130).split(13):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        hits = 0
        for i in range(130, 175, 3):
            hits += (net(x[i : i + 3]).argmax(1) == y[i : i + 3]).sum().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {hits / 45:.3f}")
