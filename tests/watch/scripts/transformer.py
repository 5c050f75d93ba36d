"""An encoder whose evaluation torch fuses, if nobody is on its modules."""

import torch
from digest import digest, say
from torch import nn

torch.manual_seed(11)
layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.1)
net = nn.Sequential(nn.Linear(3, 16), nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(80, 2))
attention = nn.MultiheadAttention(16, 4, batch_first=True)
optimizer = torch.optim.AdamW([*net.parameters(), *attention.parameters()], lr=1e-3)
x, y = torch.randn(64, 5, 3), torch.randint(2, (64,))
losses = []
for _ in range(8):
    net.train()
    for rows in torch.randperm(64).split(16):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    attention.eval()
    with torch.no_grad():
        print(digest(net(x), attention(*[torch.ones(2, 5, 16)] * 3)[0], layer.eval()(torch.ones(2, 5, 16))))
    with torch.inference_mode():
        print(digest(net(x).clone()))
say(losses, net)
