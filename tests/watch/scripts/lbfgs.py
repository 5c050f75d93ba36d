"""L-BFGS with a closure and a line search."""

import torch
from digest import say
from torch import nn

torch.manual_seed(6)
x = torch.linspace(-2, 2, 64).unsqueeze(1)
y = torch.sin(3 * x)
net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=6, line_search_fn="strong_wolfe")
losses = []


def closure():
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    return loss


for _ in range(12):
    losses.append(optimizer.step(closure).item())
say(losses, net)
