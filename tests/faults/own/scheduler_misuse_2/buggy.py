"""Exponential decay meant for epochs, regression."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(1200, 5)
Y = torch.tanh(X[:, :1] * 2) + X[:, 1:2] * X[:, 2:3] * 0.5
loader = DataLoader(TensorDataset(X[:1000], Y[:1000]), batch_size=25, shuffle=True)
model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
for epoch in range(15):
    for xb, yb in loader:
        loss = nn.functional.mse_loss(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(model(X[1000:]), Y[1000:]).item()
    print(f"epoch {epoch} loss {loss.item():.4f} val mse {mse:.4f}")
