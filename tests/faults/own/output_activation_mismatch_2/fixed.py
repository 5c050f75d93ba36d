"""NLLLoss on the output of a softmax: the logarithm is missing."""
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

torch.manual_seed(0)
d = load_wine()
order = torch.randperm(len(d.target))
x, y = torch.tensor(scale(d.data)).float()[order], torch.tensor(d.target)[order]
net = nn.Sequential(
    nn.Linear(13, 24),
    nn.Tanh(),
    nn.Linear(24, 3),
    nn.LogSoftmax(dim=1),
)
opt = torch.optim.SGD(net.parameters(), lr=0.05)
criterion = nn.NLLLoss()
for epoch in range(30):
    for i in range(0, 130, 13):
        opt.zero_grad()
        loss = criterion(net(x[i : i + 13]), y[i : i + 13])
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        acc = (net(x[130:]).argmax(1) == y[130:]).float().mean().item()
        print(f"epoch {epoch + 1} loss {loss.item():.4f} acc {acc:.3f}")
