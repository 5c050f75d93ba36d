"""Activations computed again in the backward pass, in both of torch's ways."""

import torch
from digest import say
from torch import nn
from torch.utils.checkpoint import checkpoint


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(10, 10), nn.Dropout(0.1), nn.Tanh()) for _ in range(4))
        self.out = nn.Linear(10, 1)

    def forward(self, x):
        for number, block in enumerate(self.blocks):
            x = checkpoint(block, x, use_reentrant=number % 2 == 0)
        return self.out(x)


torch.manual_seed(9)
net = Deep()
optimizer = torch.optim.NAdam(net.parameters(), lr=1e-2)
losses = []
for _ in range(16):
    x = torch.randn(24, 10, requires_grad=True)
    loss = nn.functional.smooth_l1_loss(net(x), x.prod(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
say(losses, net)
