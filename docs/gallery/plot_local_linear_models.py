"""Which linear models is my network? One for each activation pattern on the data, exactly, and a few in their place."""

import torch
from picture import show_or_write
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn

import pellucid

table = load_diabetes(as_frame=True)
x = (table.data - table.data.mean()) / table.data.std()
y = (table.target - table.target.mean()) / table.target.std()
x, x_held_out, y, y_held_out = train_test_split(x, y, random_state=0)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
inputs, targets = torch.tensor(x.to_numpy(), dtype=torch.float32), torch.tensor(y.to_numpy(), dtype=torch.float32)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(inputs)[:, 0], targets).backward()
    optimizer.step()

models = pellucid.measure_local_linear_models(model, x, y, held_out=(x_held_out, y_held_out))
print(models)
print(models.table().head())
print(models.importance("output").head())
print(models.simplify("tree", regions=4))

models.plot(kind="profile", feature="bmi")
show_or_write()
