"""Writes the payloads that ``diagnosis.test.ts`` draws: what a watch of a faulty script and of its mended twin found.

Run it from the root of the repository when one of these results changes: ``python web/tests/views/make_diagnosis.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pellucid.server.slimming import slim_payload
from pellucid.store.run import find_run

__all__ = ["main"]

SCRIPT = '''\
"""Three blobs, told apart; the gradients are never cleared, and the optimiser is not told of the first layer."""

import torch
from torch import nn

torch.manual_seed(0)
centres = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
y = torch.randint(0, 3, (320,))
x = centres[y] + torch.randn(320, 2)
model = nn.Sequential()
model.add_module("body", nn.Linear(2, 16))
model.add_module("act", nn.ReLU())
model.add_module("head", nn.Linear(16, 3))
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5)
loss_function = nn.CrossEntropyLoss()

for epoch in range(10):
    for inputs, targets in loader:
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimizer.step()
    scheduler.step()
'''


def main() -> None:
    """Watch both scripts by command and keep what no view leaves out."""
    mended = SCRIPT.replace("model.head.parameters()", "model.parameters()")
    mended = mended.replace("        loss.backward()", "        optimizer.zero_grad()\n        loss.backward()")
    folder = Path(__file__).with_name("diagnosis")
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as place:
        for name, text in (("faulty", SCRIPT), ("mended", mended)):
            Path(place, "train.py").write_text(text, encoding="utf-8")
            runs = Path(place, name)
            words = [sys.executable, "-m", "pellucid", "run", "--headless", "--runs-dir", str(runs), "train.py"]
            subprocess.run(words, cwd=place, check=True)
            (made,) = runs.iterdir()
            run = find_run(made.name, runs)
            (folder / f"{name}.safetensors").write_bytes(run.result_bytes("diagnosis"))
        script = slim_payload(run.result("watched_script"))
        (folder / "script.safetensors").write_bytes(script or b"")


if __name__ == "__main__":
    main()
