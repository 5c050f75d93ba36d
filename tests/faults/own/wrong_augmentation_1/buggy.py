"""Which way does the arrow point? Augmented by turns."""
import torch
from torch import nn

torch.manual_seed(0)
y = torch.randint(0, 4, (1400,))
x = 0.4 * torch.randn(1400, 1, 8, 8)
for i, k in enumerate(y.tolist()):
    x[i] += torch.rot90(torch.nn.functional.pad(torch.ones(1, 3, 4), (2, 2, 0, 5)), k, (1, 2))


def augment(batch):
    return torch.stack([torch.rot90(one, int(torch.randint(0, 4, (1,))), (1, 2)) for one in batch])


net = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 36, 4))
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(8):
    for b in torch.randperm(1100).split(50):
        loss = nn.functional.cross_entropy(net(augment(x[b])), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[1100:]).argmax(1) == y[1100:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
