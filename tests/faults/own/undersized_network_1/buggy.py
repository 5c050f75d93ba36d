"""Ten digits squeezed through one unit."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(4)
data = load_digits()
order = torch.randperm(len(data.target))
x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
y = torch.tensor(data.target)[order]

width = 1
net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(25):
    for b in torch.randperm(1400).split(50):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} acc {acc:.3f}")
