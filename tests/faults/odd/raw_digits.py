"""Grey levels from 0 to 16 as they are, with a rate to match."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
X = torch.tensor(d.data).float()
y = torch.tensor(d.target)
net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
for epoch in range(8):
    for b in torch.randperm(1400).split(32):
        opt.zero_grad()
        loss = F.cross_entropy(net(X[b]), y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(X[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
