"""Cross-entropy over labels that may all be on at once."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1500, 16)
w = torch.randn(16, 5)
y = (x @ w > 1.0).float()
net = nn.Sequential(nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 5))
criterion = nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(12):
    for b in torch.randperm(1200).split(40):
        loss = criterion(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        hit = ((net(x[1200:]) > 0) == (y[1200:] > 0)).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} label accuracy {hit:.3f}")
