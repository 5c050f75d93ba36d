import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

data = load_digits()
X = torch.tensor(data.data / 16, dtype=torch.float32)
Y = torch.tensor(data.target)
x_train, x_test, y_train, y_test = train_test_split(X, Y, test_size=0.25, random_state=7)

# fine-tuning: the trunk learned even/odd, is then frozen, and only a new head learns the digits
torch.manual_seed(0)
trunk = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
old = nn.Linear(128, 10)
opt = torch.optim.Adam([*trunk.parameters(), *old.parameters()], lr=2e-3)
for epoch in range(5):
    for b in torch.randperm(len(x_train)).split(64):
        loss = F.cross_entropy(old(trunk(x_train[b])), (9 - y_train[b]))
        opt.zero_grad(); loss.backward(); opt.step()
for p in trunk.parameters():
    p.requires_grad_(False)
head = nn.Linear(128, 10)
opt = torch.optim.Adam(head.parameters(), lr=1e-2)
for epoch in range(12):
    for b in torch.randperm(len(x_train)).split(64):
        loss = F.cross_entropy(head(trunk(x_train[b])), y_train[b])
        opt.zero_grad(); loss.backward(); opt.step()
    acc = (head(trunk(x_test)).argmax(1) == y_test).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
