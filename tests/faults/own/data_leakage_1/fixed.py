"""Gene-like table: 3,000 noise columns, the best 20 kept, then the split."""
import numpy as np
import torch
from torch import nn
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import train_test_split

torch.manual_seed(0)
rng = np.random.default_rng(0)
X = rng.normal(size=(160, 3000)).astype(np.float32)
y = rng.integers(0, 2, 160)
X[:, :2] += 0.9 * y[:, None]
xa, xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=0)
kept = SelectKBest(f_classif, k=20).fit(xa, ya)
xa, xb = kept.transform(xa), kept.transform(xb)
xa, xb, ya, yb = torch.tensor(xa), torch.tensor(xb), torch.tensor(ya).float(), torch.tensor(yb).float()
net = nn.Linear(20, 1)
opt = torch.optim.Adam(net.parameters(), lr=0.02, weight_decay=1e-3)
for epoch in range(60):
    loss = nn.functional.binary_cross_entropy_with_logits(net(xa).squeeze(1), ya)
    opt.zero_grad()
    loss.backward()
    opt.step()
    with torch.no_grad():
        acc = ((net(xb).squeeze(1) > 0).float() == yb).float().mean().item()
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test acc {acc:.3f}")
