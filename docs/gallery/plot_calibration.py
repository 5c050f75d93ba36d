"""Is my classifier as often right as it says, and does one number mend it?"""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn

import pellucid

torch.manual_seed(0)
data = load_digits()
x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
order = torch.randperm(len(x))
x, y = x[order], y[order]

model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(400):  # far past zero training error
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[:200]), y[:200]).backward()
    optimizer.step()

held_out = pellucid.measure_calibration(model, (x[200:900], y[200:900]), split="validation")
calibration = pellucid.measure_calibration(model, (x[900:], y[900:]), split="test")
mended = calibration.temperature(fit_on=held_out)
print(mended)

mended.plot()
show_or_write()
