"""A GRU tells rising from falling sequences."""
import torch
from torch import nn

torch.manual_seed(1)
t = torch.linspace(0, 1, 20)
y = torch.randint(0, 2, (800,))
x = (t * (2 * y[:, None] - 1) * 0.8 + 0.6 * torch.randn(800, 20)).unsqueeze(-1)


class Trend(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.out = nn.Linear(24, 2)

    def forward(self, x):
        return self.out(self.gru(x)[0][:, -1])


net = Trend()
opt = torch.optim.Adam(net.parameters(), lr=3.0)
for epoch in range(8):
    for b in torch.randperm(600).split(30):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[600:]).argmax(1) == y[600:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
