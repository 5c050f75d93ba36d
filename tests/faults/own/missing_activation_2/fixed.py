"""The result of relu is thrown away."""
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x = torch.rand(1500, 2) * 4 - 2
y = torch.sin(2 * x[:, :1]) * torch.cos(2 * x[:, 1:])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 1)

    def forward(self, x):
        x = self.a(x)
        x = F.relu(x)
        x = self.b(x)
        x = F.relu(x)
        return self.c(x)


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(20):
    for b in torch.randperm(1200).split(40):
        loss = F.mse_loss(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mse {F.mse_loss(net(x[1200:]), y[1200:]).item():.4f}")
