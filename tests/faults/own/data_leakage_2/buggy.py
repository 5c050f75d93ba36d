"""Rare event rows are repeated, and then the table is shuffled and split."""
import torch
from torch import nn

torch.manual_seed(2)
X = torch.randn(900, 12)
y = (X[:, 0] + X[:, 1] + 1.5 * torch.randn(900) > 2.2).long()


def balance(x, t):
    rare = (t == 1).nonzero().squeeze(1)
    times = int((t == 0).sum() / len(rare))
    return torch.cat([x, x[rare].repeat(times, 1)]), torch.cat([t, t[rare].repeat(times)])


X, y = balance(X, y)
order = torch.randperm(len(X))
X, y = X[order], y[order]
cut = int(0.7 * len(X))
train_x, train_y, test_x, test_y = X[:cut], y[:cut], X[cut:], y[cut:]
net = nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 2))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(25):
    for b in torch.randperm(len(train_x)).split(64):
        loss = nn.functional.cross_entropy(net(train_x[b]), train_y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(test_x).argmax(1) == test_y).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test acc {acc:.3f}")
