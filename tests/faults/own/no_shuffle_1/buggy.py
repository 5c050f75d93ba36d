"""Blobs stored class by class, loaded in order."""
import torch
from torch import nn
from sklearn.datasets import make_blobs
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X, y = make_blobs(1500, centers=5, n_features=6, cluster_std=3.0, random_state=4)
X, y = torch.tensor(X).float() / 6, torch.tensor(y)
test_x, test_y = X[1200:], y[1200:]
order = y[:1200].argsort()
train = TensorDataset(X[:1200][order], y[:1200][order])
loader = DataLoader(train, batch_size=30)
net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 5))
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for epoch in range(10):
    for xb, yb in loader:
        loss = nn.functional.cross_entropy(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(test_x).argmax(1) == test_y).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
