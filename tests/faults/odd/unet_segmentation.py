"""Pixel classes from a small encoder-decoder with transposed convolution, and sums of cross-entropy and dice."""
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
n = 300
x = 0.3 * torch.randn(n, 1, 16, 16)
mask = torch.zeros(n, 16, 16)
for i in range(n):
    r, c, s = torch.randint(0, 9, (3,)).tolist()
    s = 4 + s // 3
    x[i, 0, r : r + s, c : c + s] += 1.0
    mask[i, r : r + s, c : c + s] = 1


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.c = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))

    def forward(self, x):
        a = self.a(x)
        return self.c(torch.cat([a, self.up(self.b(a))], 1)).squeeze(1)


net = UNet()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(6):
    net.train()
    for b in torch.randperm(240).split(16):
        out = net(x[b])
        p = torch.sigmoid(out)
        dice = 1 - (2 * (p * mask[b]).sum() + 1) / (p.sum() + mask[b].sum() + 1)
        loss = F.binary_cross_entropy_with_logits(out, mask[b]) + dice
        opt.zero_grad()
        loss.backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        hit = ((net(x[240:]) > 0) == (mask[240:] > 0)).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} pixel acc {hit:.3f}")
