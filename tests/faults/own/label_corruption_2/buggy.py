"""Digits whose training labels were mostly overwritten by a faulty merge."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(11)
data = load_digits()
order = torch.randperm(len(data.target))
x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
y = torch.tensor(data.target)[order]

train_x, train_y, test_x, test_y = x[:1200], y[:1200].clone(), x[1200:], y[1200:]
merged = torch.rand(1200) < 0.75
train_y[merged] = train_y[merged][torch.randperm(int(merged.sum()))]
net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(15):
    for b in torch.randperm(1200).split(40):
        loss = nn.functional.cross_entropy(net(train_x[b]), train_y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        out = net(test_x)
        held = nn.functional.cross_entropy(out, test_y).item()
        acc = (out.argmax(1) == test_y).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} val loss {held:.4f} acc {acc:.3f}")
