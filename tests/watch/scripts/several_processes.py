"""Two processes over gloo, each with its share of the data; RANK, WORLD_SIZE and the address come from outside."""

import os

import torch
import torch.distributed as dist
from digest import say
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

dist.init_process_group("gloo")
torch.manual_seed(13)
data = TensorDataset(torch.randn(64, 6), torch.randint(3, (64,)))
net = DistributedDataParallel(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
sampler = DistributedSampler(data)
losses = []
for epoch in range(3):
    sampler.set_epoch(epoch)
    for x, y in DataLoader(data, batch_size=8, sampler=sampler):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
say(losses, net)
print("rank", os.environ["RANK"])
dist.destroy_process_group()
