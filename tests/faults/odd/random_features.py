"""A hidden layer of random features that stays as it was drawn, on purpose."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
X = torch.tensor(d.data).float() / 16
y = torch.tensor(d.target)


class Elm(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 400)
        self.out = nn.Linear(400, 10)
        self.hidden.requires_grad_(False)

    def forward(self, x):
        return self.out(torch.tanh(2 * self.hidden(x)))


net = Elm()
opt = torch.optim.Adam(net.out.parameters(), lr=3e-3)
for epoch in range(12):
    for b in torch.randperm(1400).split(32):
        opt.zero_grad()
        loss = F.cross_entropy(net(X[b]), y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(X[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
