"""Binary cross-entropy by hand, with the logarithm of saturated sigmoids."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 5) * 3
y = (x.sum(1) > 0).float()
net = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.5)
for epoch in range(60):
    for b in torch.randperm(800).split(40):
        p = torch.sigmoid(net(x[b]).squeeze(1))
        loss = nn.functional.binary_cross_entropy(p, y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} acc {((net(x[800:]).squeeze(1) > 0) == (y[800:] > 0)).float().mean().item():.3f}")
