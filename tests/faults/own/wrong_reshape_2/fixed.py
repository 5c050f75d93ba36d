"""Images with channels last are viewed as channels first, batch by batch."""
import torch
from torch import nn

torch.manual_seed(0)
n = 900
y = torch.randint(0, 3, (n,))
x = 0.4 * torch.randn(n, 8, 8, 3)
for c in range(3):
    x[y == c, 2:6, 2:6, c] += 0.5
x[..., 1] += torch.linspace(-1, 1, 8)[None, :, None]
net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)


def prepare(images):
    return images.permute(0, 3, 1, 2)


for epoch in range(10):
    for b in torch.randperm(700).split(28):
        loss = nn.functional.cross_entropy(net(prepare(x[b])), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(prepare(x[700:])).argmax(1) == y[700:]).float().mean().item():.3f}")
