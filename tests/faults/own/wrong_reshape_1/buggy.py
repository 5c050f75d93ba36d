"""A view where time and batch were to be swapped for the recurrent layer."""
import torch
from torch import nn

torch.manual_seed(0)
n, t = 1200, 10
x = torch.randn(n, t, 3)
y = x[:, -3:, 0].sum(1, keepdim=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 20)
        self.out = nn.Linear(20, 1)

    def forward(self, x):
        x = x.view(x.shape[1], x.shape[0], 3)
        h, _ = self.gru(x)
        return self.out(h[-1])


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(12):
    for b in torch.randperm(1000).split(40):
        loss = nn.functional.mse_loss(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mse {nn.functional.mse_loss(net(x[1000:]), y[1000:]).item():.4f}")
