"""A variational autoencoder: sums over pixels, a divergence, no target but the input."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
x = torch.tensor(load_digits().data).float() / 16


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.mu, self.logvar = nn.Linear(64, 64), nn.Linear(64, 8), nn.Linear(64, 8)
        self.dec = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x):
        h = torch.relu(self.enc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


net = VAE()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(15):
    total = 0.0
    for b in torch.randperm(len(x)).split(64):
        out, mu, logvar = net(x[b])
        rec = F.binary_cross_entropy_with_logits(out, x[b], reduction="sum")
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()
        loss = (rec + kl) / len(b)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item()
    print(f"epoch {epoch} loss {total / 29:.2f}")
