"""Has my classifier collapsed? Handwritten digits, trained past zero error: every measure, on train and on test."""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import pellucid

torch.manual_seed(0)
images, digits = load_digits(return_X_y=True)
split = train_test_split(images / 16, digits, test_size=0.3, random_state=0, stratify=digits)
x_train, x_test = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
y_train, y_test = (torch.tensor(part) for part in split[2:])
layers = [nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU()]
model = nn.Sequential(*layers, nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
for _ in range(60):
    for rows in torch.randperm(len(x_train)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
        optimizer.step()
    schedule.step()

train = pellucid.measure_neural_collapse(model, (x_train, y_train), split="train", bootstrap=100)
test = pellucid.measure_neural_collapse(model, (x_test, y_test), split="test", centres_from=(x_train, y_train))
print(train)
for name in ("nc1", "maximal_angle_centres", "nc3", "nc4"):
    print(f"{name}: {train[name]:.4f} on train, {test[name]:.4f} on test")

train.plot()
show_or_write()
