"""Adam with strong weight decay, wine data."""
import torch
from torch import nn
from sklearn.datasets import load_wine

torch.manual_seed(0)
wine = load_wine()
order = torch.randperm(178)
X, y = torch.tensor(wine.data).float()[order], torch.tensor(wine.target)[order]
X = (X - X[:130].mean(0)) / X[:130].std(0)
net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
opt = torch.optim.Adam(net.parameters(), lr=5e-3, weight_decay=1.0)
for epoch in range(40):
    for b in torch.randperm(130).split(13):
        loss = nn.functional.cross_entropy(net(X[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        out = net(X[130:])
        held = nn.functional.cross_entropy(out, y[130:]).item()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} val loss {held:.4f} acc {(out.argmax(1) == y[130:]).float().mean().item():.3f}")
