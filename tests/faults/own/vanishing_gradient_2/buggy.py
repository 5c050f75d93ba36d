"""Deep tanh regression with narrow first weights."""
import torch
from torch import nn

torch.manual_seed(1)
X = torch.rand(1000, 4) * 2 - 1
Y = torch.sin(3 * X[:, :1]) * X[:, 1:2] + X[:, 2:3]
net = nn.Sequential(nn.Linear(4, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(),
                    nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(),
                    nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(30):
    for b in torch.randperm(800).split(40):
        loss = ((net(X[b]) - Y[b]) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 6 == 5:
        with torch.no_grad():
            mse = ((net(X[800:]) - Y[800:]) ** 2).mean().item()
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
