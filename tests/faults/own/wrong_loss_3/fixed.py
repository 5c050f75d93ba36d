"""Class numbers as targets of a squared error on one output, judged by accuracy."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]
net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(15):
    for b in torch.randperm(1400).split(50):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    guess = net(x[1400:]).argmax(1)
    print(f"epoch {epoch} loss {loss.item():.3f} accuracy {(guess == y[1400:]).float().mean().item():.3f}")
