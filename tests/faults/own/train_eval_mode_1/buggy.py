"""Evaluated with dropout at work."""
import torch
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

torch.manual_seed(0)
d = load_breast_cancer()
order = torch.randperm(len(d.target))
x, y = torch.tensor(scale(d.data)).float()[order], torch.tensor(d.target).float()[order]
net = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.6), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.6), nn.Linear(64, 1))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)


def evaluate():
    with torch.no_grad():
        out = net(x[450:]).squeeze(1)
    return nn.functional.binary_cross_entropy_with_logits(out, y[450:]).item(), ((out > 0) == (y[450:] > 0)).float().mean().item()


for epoch in range(12):
    for b in torch.randperm(450).split(30):
        loss = nn.functional.binary_cross_entropy_with_logits(net(x[b]).squeeze(1), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    held, acc = evaluate()
    print(f"epoch {epoch} train {loss.item():.4f} test {held:.4f} acc {acc:.3f}")
