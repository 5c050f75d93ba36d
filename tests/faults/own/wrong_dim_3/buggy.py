"""Embeddings normalised along the batch."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

torch.manual_seed(0)
d = load_wine()
order = torch.randperm(len(d.target))
x, y = torch.tensor(scale(d.data)).float()[order], torch.tensor(d.target)[order]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(13, 16), nn.Linear(16, 3)

    def forward(self, x):
        h = F.normalize(torch.relu(self.a(x)), dim=0)
        return self.b(h)


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(20):
    for b in torch.randperm(130).split(10):
        loss = F.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[130:]).argmax(1) == y[130:]).float().mean().item():.3f}")
