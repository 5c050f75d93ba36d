"""Three linear layers in a row on two rings."""
import torch
from torch import nn
from sklearn.datasets import make_circles

torch.manual_seed(0)
x, y = make_circles(1200, noise=0.08, factor=0.45, random_state=1)
x, y = torch.tensor(x).float(), torch.tensor(y).float()
net = nn.Sequential(
    nn.Linear(2, 32), nn.ReLU(),
    nn.Linear(32, 32), nn.ReLU(),
    nn.Linear(32, 1),
)
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(20):
    for b in torch.randperm(1000).split(50):
        loss = nn.functional.binary_cross_entropy_with_logits(net(x[b]).squeeze(1), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {((net(x[1000:]).squeeze(1) > 0) == (y[1000:] > 0)).float().mean().item():.3f}")
