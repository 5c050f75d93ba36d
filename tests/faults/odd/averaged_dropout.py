"""Dropout left on in evaluation, to be averaged over."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_friedman1

torch.manual_seed(0)
X, y = make_friedman1(900, n_features=6, noise=0.5, random_state=0)
X = torch.tensor(X).float() * 2 - 1
y = torch.tensor((y - y.mean()) / y.std()).float()
net = nn.Sequential(
    nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 1)
)
opt = torch.optim.Adam(net.parameters(), lr=2e-3)


def predict(x, n=30):
    with torch.no_grad():
        draws = torch.stack([net(x).squeeze(1) for _ in range(n)])
    return draws.mean(0), draws.std(0)


for epoch in range(40):
    for b in torch.randperm(700).split(32):
        opt.zero_grad()
        loss = F.mse_loss(net(X[b]).squeeze(1), y[b])
        loss.backward()
        opt.step()
    if epoch % 8 == 7:
        m, s = predict(X[700:])
        print(
            f"epoch {epoch} loss {loss.item():.4f} test r2 {1 - F.mse_loss(m, y[700:]).item() / y[700:].var().item():.3f} spread {s.mean():.3f}"
        )
