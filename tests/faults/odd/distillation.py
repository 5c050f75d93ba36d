"""A teacher without gradients teaches a student: KL of log-probabilities at a temperature."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]


def fit(net, epochs, loss_of):
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)
    for epoch in range(epochs):
        net.train()
        for b in torch.randperm(1400).split(35):
            loss = loss_of(net, b)
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        acc = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
        print(f"epoch {epoch} loss {loss.item():.3f} acc {acc:.3f}")


teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
fit(teacher, 10, lambda net, b: F.cross_entropy(net(x[b]), y[b]))


def taught(net, b):
    with torch.no_grad():
        soft = F.softmax(teacher(x[b]) / 2, dim=1)
    return 4 * F.kl_div(F.log_softmax(net(x[b]) / 2, dim=1), soft, reduction="batchmean") + F.cross_entropy(net(x[b]), y[b])


fit(nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)), 10, taught)
