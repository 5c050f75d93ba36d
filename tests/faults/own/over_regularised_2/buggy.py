"""Regression with an L1 penalty added to the loss."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(900, 10)
Y = X[:, 0] - 2 * X[:, 1] + torch.relu(X[:, 2]) * X[:, 3]
Y = (Y - Y.mean()) / Y.std()
net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
factor = 1.0
for epoch in range(40):
    for b in torch.randperm(700).split(35):
        mse = nn.functional.mse_loss(net(X[b]).squeeze(1), Y[b])
        penalty = sum(p.abs().sum() for p in net.parameters())
        loss = mse + factor * penalty
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        test = nn.functional.mse_loss(net(X[700:]).squeeze(1), Y[700:]).item()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {test:.4f}")
