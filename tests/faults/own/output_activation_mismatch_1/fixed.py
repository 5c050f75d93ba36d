"""A sigmoid on a regression output whose targets are standardised."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1200, 5)
y = x[:, 0] * 1.5 - x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
y = (y - y.mean()) / y.std()


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(5, 40)
        self.out = nn.Linear(40, 1)

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return self.out(h).squeeze(1)


net = Regressor()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    for b in torch.randperm(1000).split(25):
        loss = nn.functional.smooth_l1_loss(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mae {(net(x[1000:]) - y[1000:]).abs().mean().item():.4f}")
