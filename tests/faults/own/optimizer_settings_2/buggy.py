"""SGD with a momentum of 0.999."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(1000, 6)
Y = (X[:, :1] * X[:, 1:2] + X[:, 2:3]) / 1.4
net = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.999)
for epoch in range(25):
    for b in torch.randperm(800).split(40):
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(X[b]), Y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[800:]), Y[800:]).item()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
