"""Tanh on the output of an autoencoder whose data reach far beyond one."""
import torch
from torch import nn

torch.manual_seed(0)
code = torch.randn(1500, 3)
x = code @ torch.randn(3, 12) * 1.2
model = nn.Sequential(
    nn.Linear(12, 32), nn.ReLU(),
    nn.Linear(32, 3),
    nn.Linear(3, 32), nn.ReLU(),
    nn.Linear(32, 12),
)
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(20):
    for b in torch.randperm(1200).split(40):
        loss = ((model(x[b]) - x[b]) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mse {((model(x[1200:]) - x[1200:]) ** 2).mean().item():.4f}")
