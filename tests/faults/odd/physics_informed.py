"""A network that solves an equation: gradients of its output by its input, points that want gradients."""
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
t = torch.linspace(0, 3, 60).unsqueeze(1).requires_grad_()
for step in range(1200):
    u = net(t)
    du = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
    residual = (du + u - torch.sin(t)).pow(2).mean()
    start = (net(torch.zeros(1, 1)) - 1).pow(2).mean()
    loss = residual + start
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 200 == 199:
        exact = 1.5 * torch.exp(-t) + 0.5 * (torch.sin(t) - torch.cos(t))
        print(f"step {step + 1} loss {loss.item():.5f} error {(u - exact).abs().max().item():.4f}")
