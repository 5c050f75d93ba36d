"""Convolutional net, plain SGD with a tiny rate."""
import torch
from torch import nn

torch.manual_seed(0)
y = torch.randint(0, 3, (1000,))
x = 0.4 * torch.randn(1000, 1, 9, 9)
for i, k in enumerate(y.tolist()):
    x[i, 0, :, 3 * k:3 * k + 2] += 1
net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(12):
    for b in torch.randperm(800).split(20):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[800:]).argmax(1) == y[800:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
