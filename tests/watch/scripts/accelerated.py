"""A loop through accelerate."""

import torch
from accelerate import Accelerator
from digest import say
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(15)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
net = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 2))
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
loader = DataLoader(TensorDataset(torch.randn(48, 4), torch.randint(2, (48,))), batch_size=8, shuffle=True)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer)
net, optimizer, loader, scheduler = accelerator.prepare(net, optimizer, loader, scheduler)
losses = []
for _ in range(3):
    for x, y in loader:
        with accelerator.accumulate(net):
            loss = nn.functional.cross_entropy(net(x), y)
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        losses.append(loss.item())
say(losses, net)
