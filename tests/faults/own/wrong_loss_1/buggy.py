"""BCE with logits for a regression."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 8)
y = (x[:, :3].sum(1) + 0.3 * x[:, 3] ** 2 + 0.1 * torch.randn(1000)).unsqueeze(1)
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
criterion = nn.BCEWithLogitsLoss()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(15):
    for b in torch.randperm(800).split(20):
        opt.zero_grad()
        loss = criterion(net(x[b]), y[b])
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.3f} val rmse {(net(x[800:]) - y[800:]).pow(2).mean().sqrt().item():.3f}")
