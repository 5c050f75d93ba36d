"""The loss is wrapped into a new tensor, which has no graph."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(600, 5)
y = x.sum(1, keepdim=True)
net = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(20):
    for b in torch.randperm(500).split(25):
        error = (net(x[b]) - y[b]).pow(2).mean()
        loss = torch.tensor(error.item(), requires_grad=True)
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")
