"""Meant to freeze the body; froze the head."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 12), nn.ReLU())
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        return self.head(self.body(x))


net = Net()
for p in ():
    p.requires_grad = False
for p in net.head.parameters():
    p.requires_grad = True
opt = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-3)
for epoch in range(12):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[1400:]).argmax(1) == y[1400:]).float().mean().item():.3f}")
