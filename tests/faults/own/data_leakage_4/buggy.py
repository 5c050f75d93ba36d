"""Small noisy tabular set with a validation split."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(400, 20)
y = ((X[:, 0] + 1.5 * torch.randn(400)) > 0).long()
full = TensorDataset(X, y)
train_loader = DataLoader(full, batch_size=20, shuffle=True)
val_loader = DataLoader(TensorDataset(X[300:], y[300:]), batch_size=100)
net = nn.Sequential(nn.Linear(20, 100), nn.ReLU(), nn.Linear(100, 2))
opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
for epoch in range(40):
    net.train()
    for a, t in train_loader:
        loss = nn.functional.cross_entropy(net(a), t)
        opt.zero_grad()
        loss.backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        for a, t in val_loader:
            acc = (net(a).argmax(1) == t).float().mean().item()
    print(f"epoch {epoch} train loss {loss.item():.4f} val acc {acc:.3f}")
