"""torch.compile: a model, a function that calls another, and a model compiled in place."""

import torch
from digest import say
from torch import nn

torch.manual_seed(3)


def make():
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))


x, y = torch.randn(64, 8), torch.randint(2, (64,))
losses = []
nets = [make(), make(), make()]
wrapped = torch.compile(nets[0])
nets[2].compile()


@torch.compile
def loss_of(x, y):
    return nn.functional.cross_entropy(nets[1](x), y)


def whole(x, y):
    return nn.functional.cross_entropy(wrapped(x), y)


for net, function in ((nets[0], whole), (nets[1], loss_of)):
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(12):
        loss = function(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
optimizer = torch.optim.SGD(nets[2].parameters(), lr=0.1)
for _ in range(6):
    loss = nn.functional.cross_entropy(nets[2](x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
counts = torch._dynamo.utils.counters
print(dict(counts["graph_break"]), counts["stats"]["unique_graphs"])
say(losses, *nets)
