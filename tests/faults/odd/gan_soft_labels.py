import torch
from torch import nn
torch.manual_seed(0)
G = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
D = nn.Sequential(nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1), nn.Sigmoid())
og = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.5, 0.99)); od = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.5, 0.99))
bce = nn.BCELoss()
def ring(n):
    a = torch.rand(n) * 6.2832
    return torch.stack([a.cos(), a.sin()], 1) + 0.05 * torch.randn(n, 2)
for it in range(900):
    r, z = ring(64), torch.randn(64, 8)
    f = G(z)
    ld = bce(D(r), torch.full((64, 1), 0.9)) + bce(D(f.detach()), torch.zeros(64, 1))
    od.zero_grad(); ld.backward(); od.step()
    lg = bce(D(f), torch.ones(64, 1))
    og.zero_grad(); lg.backward(); og.step()
    if it % 150 == 149:
        print(f"iter {it + 1} d {ld.item():.3f} g {lg.item():.3f} radius {G(torch.randn(300, 8)).norm(dim=1).mean().item():.3f}")
