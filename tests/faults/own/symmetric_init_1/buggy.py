"""All weights start at zero."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(13)
data = load_digits()
order = torch.randperm(len(data.target))
x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
y = torch.tensor(data.target)[order]

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.second = nn.Linear(32, 10)
        for p in self.parameters():
            p.data.fill_(0.0)

    def forward(self, x):
        return self.second(torch.sigmoid(self.first(x)))


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.5)
for epoch in range(10):
    for b in torch.randperm(1400).split(50):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
