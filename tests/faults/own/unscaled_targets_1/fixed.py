"""City size from indicators, in thousands of people, SGD."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(1000, 7)
people = 4000 + 900 * X[:, 0] + 700 * X[:, 1] * X[:, 2] + 100 * torch.randn(1000)
t = (people - people[:800].mean()) / people[:800].std()
net = nn.Sequential(nn.Linear(7, 48), nn.Tanh(), nn.Linear(48, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(30):
    for b in torch.randperm(800).split(40):
        loss = nn.functional.mse_loss(net(X[b]).squeeze(1), t[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        out = net(X[800:]).squeeze(1)
        mse = nn.functional.mse_loss(out, t[800:]).item()
    if epoch % 6 == 5:
        print(f"epoch {epoch + 1} loss {loss.item():.4g} test mse {mse:.4g}")
