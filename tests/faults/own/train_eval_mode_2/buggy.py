"""Put into evaluation mode after the first epoch and never back."""
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.images).float().unsqueeze(1)[order] / 16, torch.tensor(d.target)[order]
model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(288, 10))
opt = torch.optim.SGD(model.parameters(), lr=0.05)
model.train()
for epoch in range(10):
    for b in torch.randperm(1400).split(35):
        loss = nn.functional.cross_entropy(model(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    model.eval()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.3f} acc {(model(x[1400:]).argmax(1) == y[1400:]).float().mean().item():.3f}")
