"""Why does my script not learn?

A script whose gradients are never cleared, run unchanged under watch. The diagnosis names the line and the change; the
picture shows the gradients that pile up, which is its evidence.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from picture import show_or_write

from pellucid.diagnosis.judge import diagnose
from pellucid.store.run import find_run

SCRIPT = """\
import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(5):
    for batch in torch.randperm(len(x)).split(64):
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
"""

with tempfile.TemporaryDirectory() as folder:
    script, runs = Path(folder, "train.py"), Path(folder, "runs")
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "pellucid", "run", "--headless", "--runs-dir", str(runs), str(script)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    diagnosis = diagnose(find_run(next(runs.iterdir()).name, runs))

print(diagnosis)
diagnosis.plot()
show_or_write()
