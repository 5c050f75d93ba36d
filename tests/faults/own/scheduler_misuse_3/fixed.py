"""Hand-made decay in the wrong loop."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(10)
data = load_digits()
order = torch.randperm(len(data.target))
x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
y = torch.tensor(data.target)[order]

net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for epoch in range(12):
    for b in torch.randperm(1400).split(50):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    for group in opt.param_groups:
        group["lr"] *= 0.9
    with torch.no_grad():
        acc = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
