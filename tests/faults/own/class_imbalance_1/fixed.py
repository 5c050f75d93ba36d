"""Three kinds of event, one rare, softmax classifier."""
import torch
from torch import nn

torch.manual_seed(0)
n = 3000
y = torch.multinomial(torch.tensor([0.6, 0.38, 0.02]), n, replacement=True)
X = torch.randn(n, 10)
X[:, 0] += 1.5 * (y == 1)
X[:, 1:3] += 1.0 * (y == 2)[:, None]
weight = torch.tensor([0.6, 0.9, 17.0])
criterion = nn.CrossEntropyLoss(weight=weight)
net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(10):
    for b in torch.randperm(2400).split(60):
        loss = criterion(net(X[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        p = net(X[2400:]).argmax(1)
    rare = y[2400:] == 2
    print(f"epoch {epoch} loss {loss.item():.4f} acc {(p == y[2400:]).float().mean().item():.3f} recall of the rare {(p[rare] == 2).float().mean().item():.3f}")
