"""Two tables whose columns are in different orders."""
import torch
from torch import nn

torch.manual_seed(0)
z = torch.randn(1500, 8) + torch.tensor([3.0, -2, 0, 1, -1, 2, 0, -3])
y = (z[:, 0] + z[:, 1] * 0.8 - z[:, 5] + z[:, 7] > -4).float()
train_x, test_x = z[:1100], z[1100:]
columns = [7, 2, 5, 0, 1, 4, 3, 6]
test_x = test_x[:, columns]
net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(15):
    for b in torch.randperm(1100).split(50):
        loss = nn.functional.binary_cross_entropy_with_logits(net(train_x[b]).squeeze(1), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = ((net(test_x).squeeze(1) > 0).float() == y[1100:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} test acc {acc:.3f}")
