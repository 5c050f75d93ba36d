"""Classes counted from one, with as many outputs as there are classes."""
import torch
from torch import nn
from sklearn.datasets import load_iris

torch.manual_seed(0)
d = load_iris()
order = torch.randperm(150)
x, y = torch.tensor(d.data).float()[order], torch.tensor(d.target)[order] + 1
x = (x - x.mean(0)) / x.std(0)
net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(25):
    for b in torch.randperm(120).split(12):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[120:]).argmax(1) == y[120:]).float().mean().item():.3f}")
