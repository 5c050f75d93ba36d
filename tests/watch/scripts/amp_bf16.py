"""Mixed precision on the CPU: autocast to bfloat16."""

import torch
from digest import say
from torch import nn

torch.manual_seed(1)
x, y = torch.randn(192, 3, 8, 8), torch.randint(4, (192,))
net = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
losses = []
for _ in range(24):
    rows = torch.randint(192, (32,))
    optimizer.zero_grad(set_to_none=False)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
say(losses, net)
