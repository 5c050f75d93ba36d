"""A gradient scaler, with steps that it skips."""

import torch
from digest import say
from torch import nn

torch.manual_seed(2)
net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
losses = []
for step in range(20):
    x = torch.randn(32, 6)
    loss = ((net(x) - x.sum(1, keepdim=True)) ** 2).mean()
    if step in (3, 9):
        loss = loss * float("inf")
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    scaler.step(optimizer)
    scaler.update()
    losses += [loss.item(), scaler.get_scale()]
say(losses, net)
