"""Residual blocks on a regression problem."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.rand(1000, 5) * 2 - 1
y = (torch.sin(3 * X[:, 0]) * X[:, 1] + X[:, 2] ** 2 - X[:, 3] * X[:, 4]).unsqueeze(1)

class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.a, self.b = nn.Linear(d, d), nn.Linear(d, d)
    def forward(self, x):
        return x + self.b(torch.relu(self.a(x)))

class ResNet(nn.Module):
    def __init__(self, d=12, depth=4):
        super().__init__()
        self.stem = nn.Linear(5, d)
        self.blocks = [Block(d) for _ in range(depth)]
        self.head = nn.Linear(d, 1)
    def forward(self, x):
        x = self.stem(x)
        for blk in self.blocks:
            x = blk(x)
        return self.head(x)

net = ResNet()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(20):
    for b in torch.randperm(800).split(32):
        loss = nn.functional.mse_loss(net(X[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 4 == 3:
        with torch.no_grad():
            print(f"epoch {epoch + 1} train mse {loss.item():.4f} test mse {nn.functional.mse_loss(net(X[800:]), y[800:]).item():.4f}")
