"""Regression of a wavy surface."""
import torch
import torch.nn as nn

torch.manual_seed(0)
X = torch.rand(1600, 2) * 4 - 2
Y = torch.sin(2.5 * X[:, 0]) + torch.cos(2.5 * X[:, 1]) + 0.05 * torch.randn(1600)


class Surface(nn.Module):
    def __init__(self, units=2):
        super().__init__()
        self.inner = nn.Linear(2, units)
        self.outer = nn.Linear(units, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x))).squeeze(-1)


net = Surface()
opt = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(40):
    for b in torch.randperm(1200).split(40):
        loss = ((net(X[b]) - Y[b]) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = ((net(X[1200:]) - Y[1200:]) ** 2).mean().item()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
