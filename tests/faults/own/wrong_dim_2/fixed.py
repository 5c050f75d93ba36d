"""An LSTM that expects time first is given the batch first."""
import torch
from torch import nn

torch.manual_seed(0)
n, t = 1200, 12
x = torch.randn(n, t, 2)
y = (x[:, :, 0] * x[:, :, 1]).sum(1) > 0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, batch_first=True)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        h, _ = self.lstm(x)
        return self.fc(h[:, -1])


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for epoch in range(12):
    for b in torch.randperm(1000).split(50):
        loss = nn.functional.cross_entropy(net(x[b]), y[b].long())
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = (net(x[1000:]).argmax(1) == y[1000:].long()).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {acc:.3f}")
