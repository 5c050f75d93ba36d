"""Two views matched by a symmetric contrastive loss: softmax along the batch is meant."""
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
z = torch.randn(1500, 4)
a = z @ torch.randn(4, 12) + 0.1 * torch.randn(1500, 12)
b = torch.tanh(z @ torch.randn(4, 10)) + 0.1 * torch.randn(1500, 10)
left = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))
right = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
scale = nn.Parameter(torch.tensor(2.0))
opt = torch.optim.Adam([*left.parameters(), *right.parameters(), scale], lr=3e-3)
for epoch in range(12):
    for i in torch.randperm(1280).split(64):
        u, v = F.normalize(left(a[i]), dim=1), F.normalize(right(b[i]), dim=1)
        logits = scale.exp() * u @ v.T
        goal = torch.arange(len(i))
        loss = (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        s = F.normalize(left(a[1280:]), dim=1) @ F.normalize(right(b[1280:]), dim=1).T
    print(f"epoch {epoch} loss {loss.item():.3f} retrieval {(s.argmax(1) == torch.arange(len(s))).float().mean().item():.3f}")
