"""Mean and log-variance by a Gaussian likelihood, whose value goes below zero."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(1500, 1) * 4 - 2
y = torch.sin(2 * x) + (0.05 + 0.1 * x.abs()) * torch.randn_like(x)
net = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 2))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(25):
    for b in torch.randperm(1200).split(40):
        mean, logvar = net(x[b]).chunk(2, dim=1)
        loss = 0.5 * (logvar + (y[b] - mean) ** 2 / logvar.exp()).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} nll {loss.item():.4f} rmse {(net(x[1200:])[:, :1] - y[1200:]).pow(2).mean().sqrt().item():.4f}")
