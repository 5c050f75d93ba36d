"""The output layer is replaced after the optimiser was made."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 12)
y = (x[:, :4].abs().argmax(1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 8), nn.ReLU())
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.body(x))


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net.fc = nn.Linear(8, 4)
for epoch in range(20):
    for b in torch.randperm(800).split(20):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        net.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[800:]).argmax(1) == y[800:]).float().mean().item():.3f}")
