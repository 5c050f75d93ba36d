"""Regression of a product."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(1200, 6)
Y = X[:, 0] + X[:, 1] * X[:, 2]
Y = Y / Y.std()
test_x, test_y = X[1000:], Y[1000:]
order = torch.randperm(1000)
X, Y = X[:1000][order], Y[:1000][order]
net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 1))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(20):
    for b in torch.randperm(1000).split(50):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(test_x).squeeze(1), test_y).item()
    if epoch % 4 == 3:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
