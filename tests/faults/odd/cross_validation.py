"""Cross-validation: five networks, each evaluated on rows that the others trained on."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold

torch.manual_seed(0)
d = load_digits()
X = torch.tensor(d.data).float() / 16
y = torch.tensor(d.target)
scores = []
for k, (rows, te) in enumerate(KFold(5, shuffle=True, random_state=0).split(X)):
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)
    tr = torch.tensor(rows)
    for _epoch in range(8):
        for b in tr[torch.randperm(len(tr))].split(32):
            opt.zero_grad()
            loss = F.cross_entropy(net(X[b]), y[b])
            loss.backward()
            opt.step()
    with torch.no_grad():
        scores.append((net(X[te]).argmax(1) == y[te]).float().mean().item())
    print(f"fold {k} loss {loss.item():.4f} test acc {scores[-1]:.3f}")
print(f"mean acc {np.mean(scores):.3f}")
