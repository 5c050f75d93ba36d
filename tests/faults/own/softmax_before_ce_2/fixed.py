"""Probabilities by hand, exp over sum, given to cross-entropy."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]
body = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def predict(x):
    z = body(x)
    e = torch.exp(z - z.max(1, keepdim=True).values)
    return z


ce = nn.CrossEntropyLoss()
opt = torch.optim.SGD(body.parameters(), lr=0.1, momentum=0.9)
for epoch in range(8):
    for b in torch.randperm(1400).split(35):
        loss = ce(predict(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = (predict(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
