"""BCELoss on raw outputs: torch refuses values that are no probabilities."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(800, 6)
y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).float()
net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
loss_fn = nn.BCEWithLogitsLoss()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    for b in torch.randperm(640).split(32):
        opt.zero_grad()
        loss = loss_fn(net(x[b]).squeeze(1), y[b])
        loss.backward()
        opt.step()
    acc = ((net(x[640:]).squeeze(1) > 0) == (y[640:] > 0)).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
