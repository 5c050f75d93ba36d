"""An encoder and a head; the optimiser is given the head alone."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.images).float().unsqueeze(1)[order] / 16, torch.tensor(d.target)[order]
encoder = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 2), nn.ReLU(), nn.Flatten())
head = nn.Linear(16, 10)
opt = torch.optim.Adam(head.parameters(), lr=3e-3)
for epoch in range(15):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(head(encoder(x[b])), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = (head(encoder(x[1400:])).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {acc:.3f}")
