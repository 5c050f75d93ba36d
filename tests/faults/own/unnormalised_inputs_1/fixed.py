"""Grey levels 0 to 255, SGD."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
n = 1200
y = torch.randint(0, 4, (n,))
x = torch.randint(0, 120, (n, 1, 12, 12)).float()
for i, k in enumerate(y.tolist()):
    x[i, 0, 3 * k:3 * k + 3] += 120
x = x / 255
train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=40, shuffle=True)
net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 32), nn.ReLU(), nn.Linear(32, 4))
opt = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
for epoch in range(8):
    for xb, yb in train:
        loss = nn.functional.cross_entropy(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[1000:]).argmax(1) == y[1000:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
