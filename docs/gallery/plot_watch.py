"""What happens inside my own training loop?

A plain PyTorch loop, watched: two lines more than without. Below, the update-to-weight ratio of each layer, which is
healthy around 1e-3.
"""

import tempfile

import matplotlib.pyplot as plt
import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

with tempfile.TemporaryDirectory() as folder, pellucid.watch(model, optimizer, runs_dir=folder, every=10) as watch:
    for epoch in range(8):
        watch.epoch(epoch)
        for batch in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.log(loss=loss)
    steps = watch.run.table("steps").to_pandas()
    layers = watch.run.table("layers").to_pandas()

figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 5))
above.plot(steps["step"], steps["loss"], linewidth=0.8)
above.set(ylabel="loss (nats)", yscale="log")
for name, rows in layers.dropna(subset="update_ratio").groupby("layer", observed=True):
    below.plot(rows["step"], rows["update_ratio"], label=f"layer {name}")
below.set(xlabel="step", ylabel="‖Δw‖ / ‖w‖", yscale="log")
below.legend()
show_or_write()
