"""Sensor table, regression of a mixture; scaled by a scaler and then by hand."""
import numpy as np
import torch
from torch import nn
from sklearn.preprocessing import MinMaxScaler

torch.manual_seed(3)
rng = np.random.default_rng(3)
raw = rng.uniform(0, 800, (1500, 6))
target = np.sin(raw[:, 0] / 130) + raw[:, 1] * raw[:, 2] / 300000
scaled = MinMaxScaler().fit_transform(raw)
X = torch.tensor(scaled, dtype=torch.float32)
Y = torch.tensor(target, dtype=torch.float32).unsqueeze(1)
Y = (Y - Y.mean()) / Y.std()
model = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 1))
opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(40):
    for b in torch.randperm(1200).split(40):
        loss = nn.functional.mse_loss(model(X[b]), Y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 8 == 7:
        with torch.no_grad():
            mse = nn.functional.mse_loss(model(X[1200:]), Y[1200:]).item()
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test mse {mse:.4f}")
