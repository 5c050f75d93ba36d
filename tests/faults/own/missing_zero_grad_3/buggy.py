"""A small GAN on a 2-d mixture; the discriminator's gradients pile up."""
import torch
import torch.nn as nn

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
og = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
od = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
bce = nn.BCEWithLogitsLoss()

def real(n):
    return torch.randn(n, 2) * 0.3 + torch.tensor([2.0, -1.0])

for step in range(1200):
    z = torch.randn(64, 4)
    fake = G(z)
    d_loss = bce(D(real(64)), torch.ones(64, 1)) + bce(D(fake.detach()), torch.zeros(64, 1))
    d_loss.backward()
    od.step()
    g_loss = bce(D(fake), torch.ones(64, 1))
    og.zero_grad()
    g_loss.backward()
    og.step()
    if step % 200 == 199:
        s = G(torch.randn(500, 4)).detach()
        print(f"step {step + 1} d {d_loss.item():.3f} g {g_loss.item():.3f} distance {(s.mean(0) - torch.tensor([2.0, -1.0])).norm().item():.3f}")
