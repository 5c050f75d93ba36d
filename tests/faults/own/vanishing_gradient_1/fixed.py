"""A deep sigmoid network on two moons."""
import torch
from torch import nn
from sklearn.datasets import make_moons

torch.manual_seed(0)
X, y = make_moons(1000, noise=0.1, random_state=0)
X, y = torch.tensor(X).float(), torch.tensor(y)
layers = [nn.Linear(2, 24), nn.ReLU()]
for _ in range(10):
    layers += [nn.Linear(24, 24), nn.LayerNorm(24), nn.ReLU()]
net = nn.Sequential(*layers, nn.Linear(24, 2))
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for epoch in range(20):
    for b in torch.randperm(800).split(32):
        loss = nn.functional.cross_entropy(net(X[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(X[800:]).argmax(1) == y[800:]).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} acc {acc:.3f}")
