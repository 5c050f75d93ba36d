"""Loan table: age, income, balance, rate, months."""
import torch
from torch import nn

torch.manual_seed(3)
z = torch.randn(1600, 5)
y = ((z[:, 0] * z[:, 1] + z[:, 3] - 0.5 * z[:, 4]) > 0).long()
X = z * torch.tensor([12.0, 18000.0, 9000.0, 0.02, 60.0]) + torch.tensor([45.0, 52000.0, 8000.0, 0.05, 120.0])
train_x, test_x = X[:1200], X[1200:]
mean, std = train_x.mean(0), train_x.std(0)
train_x, test_x = (train_x - mean) / std, (test_x - mean) / std
net = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for epoch in range(25):
    for b in torch.randperm(1200).split(40):
        loss = nn.functional.cross_entropy(net(train_x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(test_x).argmax(1) == y[1200:]).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} acc {acc:.3f}")
