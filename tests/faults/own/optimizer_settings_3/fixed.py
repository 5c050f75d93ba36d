"""An optimiser made within the loop."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.rand(900, 3) * 4 - 2
Y = torch.sin(2 * X[:, 0]) + 0.3 * X[:, 1] * X[:, 2]
net = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
for epoch in range(40):
    for b in torch.randperm(700).split(25):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), Y[b])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(X[700:]).squeeze(1), Y[700:]).item()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
