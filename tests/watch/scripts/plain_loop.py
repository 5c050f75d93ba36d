"""A custom loop with batch-norm, dropout, a scheduler, clipping and evaluations; the best weights are copied."""

import copy
import io
import pickle

import torch
from digest import digest, say
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(inplace=True), nn.Dropout(0.2))
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        return self.head(self.body(x))


torch.manual_seed(0)
x, y = torch.randn(256, 12), torch.randint(3, (256,))
net, loss_function = Net(), nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
losses, best = [], None
for epoch in range(6):
    net.train()
    for rows in torch.randperm(256).split(32):
        loss = loss_function(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
    net.eval()
    with torch.no_grad():
        losses.append((net(x).argmax(1) == y).float().mean().item())
    best = copy.deepcopy(net)
    again = pickle.loads(pickle.dumps(net))
    stored = io.BytesIO()
    torch.save(net, stored)
    print(epoch, len(stored.getvalue()), len(best._forward_hooks), digest(*again.parameters()), f"{losses[-1]:.6f}")
scripted = torch.jit.trace(net, x[:2])
losses.append(scripted(x).sum().item())
say(losses, net, best)
