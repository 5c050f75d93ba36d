"""The features are detached before the head."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(1000, 1, 30)
y = (x[:, 0, :10].max(1).values > x[:, 0, 20:].max(1).values).long()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.MaxPool1d(2))
        self.classify = nn.Linear(52, 2)

    def forward(self, x):
        f = self.features(x)
        return self.classify(f.flatten(1))


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(12):
    for b in torch.randperm(800).split(40):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[800:]).argmax(1) == y[800:]).float().mean().item():.3f}")
