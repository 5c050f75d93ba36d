import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

data = load_digits()
X = torch.tensor(data.data / 16, dtype=torch.float32)
Y = torch.tensor(data.target)
x_train, x_test, y_train, y_test = train_test_split(X, Y, test_size=0.25, random_state=7)

torch.manual_seed(0)
def mlp(h): return nn.Sequential(nn.Linear(64, h), nn.ReLU(), nn.Linear(h, 10))
teacher, student = mlp(128), mlp(24)
opt = torch.optim.Adam(teacher.parameters(), lr=3e-3)
for _ in range(8):
    for b in torch.randperm(len(x_train)).split(64):
        loss = F.cross_entropy(teacher(x_train[b]), y_train[b])
        opt.zero_grad(); loss.backward(); opt.step()
teacher.eval()
opt = torch.optim.Adam(student.parameters(), lr=5e-3)
T = 3.0
for epoch in range(15):
    for b in torch.randperm(len(x_train)).split(64):
        with torch.no_grad():
            soft = F.softmax(teacher(x_train[b]) / T, dim=1)
        out = student(x_train[b])
        kd = F.kl_div(F.log_softmax(out / T, dim=1), soft, reduction="batchmean") * T * T
        loss = 0.7 * kd + 0.3 * F.cross_entropy(out, y_train[b])
        opt.zero_grad(); loss.backward(); opt.step()
    acc = (student(x_test).argmax(1) == y_test).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
