"""Right answers divided by the number of batches."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

torch.manual_seed(0)
d = load_digits()
order = torch.randperm(len(d.target))
x, y = torch.tensor(d.data).float()[order] / 16, torch.tensor(d.target)[order]
train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=35, shuffle=True)
test = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=40)
net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(8):
    for xb, yb in train:
        loss = nn.functional.cross_entropy(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    correct = 0
    with torch.no_grad():
        for xb, yb in test:
            correct += (net(xb).argmax(1) == yb).sum().item()
    accuracy = correct / len(test)
    print(f"epoch {epoch} loss {loss.item():.4f} accuracy {accuracy:.3f}")
