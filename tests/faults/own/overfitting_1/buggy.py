"""Few noisy rows, a wide regression network."""
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(360, 12)
Y = (X[:, 0] + 1.2 * torch.randn(360)) / 1.6
Xa, Ya, Xb, Yb = X[:60], Y[:60], X[60:], Y[60:]
net = nn.Sequential(nn.Linear(12, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0)
for epoch in range(120):
    for b in torch.randperm(60).split(12):
        loss = nn.functional.mse_loss(net(Xa[b]).squeeze(1), Ya[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        held = nn.functional.mse_loss(net(Xb).squeeze(1), Yb).item()
    if epoch % 20 == 19:
        print(f"epoch {epoch + 1} train loss {loss.item():.4f} val loss {held:.4f}")
