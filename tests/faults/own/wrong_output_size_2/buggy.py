"""Cross-entropy over a single output unit."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(900, 10)
y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()


class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 30), nn.ELU())
        self.head = nn.Linear(30, classes)

    def forward(self, x):
        return self.head(self.body(x))


model = Classifier(1)
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(12):
    for b in torch.randperm(700).split(35):
        loss = nn.functional.cross_entropy(model(x[b]), torch.zeros_like(y[b]) if model.head.out_features == 1 else y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = (model(x[700:]).argmax(1) == y[700:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
