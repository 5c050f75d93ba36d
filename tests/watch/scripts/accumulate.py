"""Gradient accumulation, an averaged copy of the weights, and groups with rates of their own."""

import torch
from digest import say
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)
data = TensorDataset(torch.randn(160, 5), torch.randn(160, 2))
net = nn.Sequential(nn.Linear(5, 20), nn.LayerNorm(20), nn.SiLU(), nn.Linear(20, 2))
average = torch.optim.swa_utils.AveragedModel(net)
optimizer = torch.optim.Adam([{"params": net[0].parameters(), "lr": 1e-3}, {"params": net[3].parameters()}], lr=1e-2)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-2, 2e-2], total_steps=15)
losses = []
for _ in range(3):
    for number, (x, y) in enumerate(DataLoader(data, batch_size=8, shuffle=True)):
        loss = nn.functional.huber_loss(net(x), y) / 4
        loss.backward()
        losses.append(loss.item())
        if number % 4 == 3:
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            average.update_parameters(net)
say(losses, net, average)
