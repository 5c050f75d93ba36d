"""A recurrent classifier whose forward ends in softmax, trained with cross-entropy."""
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
n, t = 1200, 16
phase, kind = torch.rand(n) * 6.28, torch.randint(0, 4, (n,))
steps = torch.arange(t).float()
x = torch.sin(steps[None] * (0.3 + 0.35 * kind[:, None]) + phase[:, None]) + 0.1 * torch.randn(n, t)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 24, batch_first=True)
        self.head = nn.Linear(24, 4)

    def forward(self, x):
        h, _ = self.rnn(x.unsqueeze(-1))
        logits = self.head(h[:, -1])
        return F.softmax(logits, dim=-1)


net = Net()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(10):
    for b in torch.randperm(1000).split(40):
        loss = F.cross_entropy(net(x[b]), kind[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.4f} acc {(net(x[1000:]).argmax(1) == kind[1000:]).float().mean().item():.3f}")
