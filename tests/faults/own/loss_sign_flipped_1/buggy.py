"""The log-likelihood is minimised: its minus is missing."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_iris

torch.manual_seed(0)
d = load_iris()
order = torch.randperm(150)
x, y = torch.tensor(d.data).float()[order], torch.tensor(d.target)[order]
x = (x - x.mean(0)) / x.std(0)
net = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 3))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(30):
    for b in torch.randperm(120).split(20):
        logp = F.log_softmax(net(x[b]), dim=1)
        loss = logp.gather(1, y[b].unsqueeze(1)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.3f} acc {(net(x[120:]).argmax(1) == y[120:]).float().mean().item():.3f}")
