"""Generator and discriminator on a ring; each cuts the other's graph where it must."""
import torch
from torch import nn

torch.manual_seed(0)
angle = torch.rand(2000) * 6.2832
real = torch.stack([angle.cos(), angle.sin()], 1) * 0.8 + 0.05 * torch.randn(2000, 2)
gen = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2), nn.Tanh())
dis = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1))
opt_g = torch.optim.Adam(gen.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(dis.parameters(), lr=1e-3, betas=(0.5, 0.999))
bce = nn.BCEWithLogitsLoss()
for epoch in range(12):
    for b in torch.randperm(2000).split(64):
        noise = torch.randn(len(b), 4)
        fake = gen(noise)
        opt_d.zero_grad()
        loss_d = bce(dis(real[b]), torch.ones(len(b), 1)) + bce(dis(fake.detach()), torch.zeros(len(b), 1))
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = bce(dis(fake), torch.ones(len(b), 1))
        loss_g.backward()
        opt_g.step()
    with torch.no_grad():
        r = gen(torch.randn(500, 4)).norm(dim=1)
    print(f"epoch {epoch} d {loss_d.item():.3f} g {loss_g.item():.3f} radius {r.mean().item():.3f}")
