"""A weight that is a tensor with requires_grad, not an nn.Parameter."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(900, 6)
y = (torch.tanh(x @ torch.randn(6, 3)) @ torch.randn(3)) * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.randn(6, 3, requires_grad=True)
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(torch.tanh(x @ self.w)).squeeze(1)


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(20):
    for b in torch.randperm(700).split(35):
        loss = (net(x[b]) - y[b]).pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} val mse {(net(x[700:]) - y[700:]).pow(2).mean().item():.4f}")
