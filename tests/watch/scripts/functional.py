"""Gradients of functions, per example and of gradients; an inner loop that learns to learn."""

import torch
from digest import say
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(12)
net = nn.Sequential(nn.Linear(3, 10), nn.Softplus(), nn.Linear(10, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
losses = []
for _ in range(14):
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    weights = dict(net.named_parameters())

    def of_example(weights, x, y):
        return ((functional_call(net, weights, x.unsqueeze(0)) - y) ** 2).mean()

    each = vmap(grad(of_example), (None, 0, 0))({k: v.detach() for k, v in weights.items()}, x, y)
    inner = torch.autograd.grad(((net(x) - y) ** 2).mean(), list(weights.values()), create_graph=True)
    adapted = {name: value - 0.1 * slope for (name, value), slope in zip(weights.items(), inner, strict=True)}
    loss = ((functional_call(net, adapted, x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses += [loss.item(), each["0.weight"].norm().item()]
say(losses, net)
