"""House table: the price column was not dropped."""
import torch
from torch import nn

torch.manual_seed(5)
table = torch.randn(800, 8)
price = 2 * table[:, 0] - table[:, 1] * table[:, 2] + 0.8 * torch.randn(800)
table[:, 7] = (price - price.mean()) / price.std()
features = table[:, :7]
Y = (price - price.mean()) / price.std()
net = nn.Sequential(nn.Linear(features.shape[1], 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(30):
    for b in torch.randperm(600).split(30):
        loss = nn.functional.mse_loss(net(features[b]).squeeze(1), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        mse = nn.functional.mse_loss(net(features[600:]).squeeze(1), Y[600:]).item()
    if epoch % 6 == 5:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
