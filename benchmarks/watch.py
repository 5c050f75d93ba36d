"""What does the watch cost? CPU time of a training step watched over unwatched, with peers in the same run.

    OMP_NUM_THREADS=1 python benchmarks/watch.py [--turns 12] [--turn-s 1.0] [--only mlp cnn gpt2] [--arms …] [--peers]

Each arm is a process of its own that trains one network on the same batches, some steps at a time, one arm after the
other, so that a busy machine is busy for all; the others wait meanwhile. Counted is the processor time of the whole
process, the thread that writes included, which is told to write as rarely as if the arm had run alone. Printed is the
median over turns of an arm's time over the unwatched one's, its quartiles, the ratio of the sums, and the part of the
training thread alone. Left out are the first ``WARM_UP`` steps, where the watch learns the script, loads its passes and
looks at steps 0, 1, 2, 4 …; what they cost more than unwatched ones stands beside. ``Again`` is a second unwatched arm:
what it differs from 1 by is noise.

Peers: hooks written by hand (mean, spread, extremes and zeros of each output, norms of each gradient and weight, every
step); the gradient and weight norms alone; and, where they are installed, TensorBoard histograms of every gradient and
weight and ``wandb.watch(log="all", log_freq=1)`` offline, whose own process is not counted.
"""

# ruff: noqa: D101, D102
from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

import pellucid

Batch = tuple[Tensor, Tensor]
Task = tuple[nn.Module, torch.optim.Optimizer, list[Batch], Callable[[Any, Tensor], Tensor]]


def mlp() -> Task:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )  # fmt: skip
    batches = [(torch.randn(128, 784), torch.randint(0, 10, (128,))) for _ in range(8)]
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), batches, functional.cross_entropy


WARM_UP = {"mlp": 600, "cnn": 40, "gpt2": 40}
"""Steps that are left out."""

BLOCKS = 4
"""In so many blocks, between which the other arms have theirs, each turn is done."""


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU(inplace=True)
        same = inputs == outputs and stride == 1
        self.past = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + self.past(x))


def cnn() -> Task:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    batches = [(torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))) for _ in range(4)]
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), batches, functional.cross_entropy


def gpt2() -> Task:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=512, n_positions=64, n_embd=256, n_layer=4, n_head=4,
        bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    tokens = [torch.randint(0, 512, (16, 64)) for _ in range(4)]

    def loss_of(output: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())

    return model, torch.optim.AdamW(model.parameters(), lr=1e-4), [(t, t) for t in tokens], loss_of


class Arm:
    """One copy of the network; subclasses look at it."""

    def __init__(self, make: Callable[[], Task], folder: Path) -> None:
        self.folder = folder
        self.prepare()
        self.model, self.optimizer, self.batches, self.loss_of = make()
        self.step = 0
        self.look()

    def prepare(self) -> None:
        """Before the script makes anything."""

    def look(self) -> None:
        """Attach whatever looks."""

    def see(self, loss: Tensor) -> None:
        """After the backward pass."""

    def see_update(self) -> None:
        """After the optimiser's step."""

    def close(self) -> str:
        """Finish; what it says of itself."""
        return ""

    def train(self, steps: int) -> None:
        for _ in range(steps):
            x, y = self.batches[self.step % len(self.batches)]
            self.optimizer.zero_grad()
            loss = self.loss_of(self.model(x), y)
            loss.backward()
            self.see(loss)
            self.optimizer.step()
            self.see_update()
            self.step += 1


class Again(Arm):
    """Unwatched once more."""


class Watched(Arm):
    settings: ClassVar[dict[str, Any]] = {}

    def look(self) -> None:
        self.run = pellucid.watch(self.model, self.optimizer, runs_dir=self.folder, **self.settings)
        self.run.__enter__()

    def see(self, loss: Tensor) -> None:
        self.run.log(loss=loss)

    def close(self) -> str:
        self.run.__exit__(None, None, None)
        return said_of(self.run.writer.path)


class Full(Watched):
    settings: ClassVar[dict[str, Any]] = {"full": True}


class Script(Arm):
    """``pellucid.watch()``, as ``pellucid run`` does it."""

    settings: ClassVar[dict[str, Any]] = {}

    def prepare(self) -> None:
        self.watch = pellucid.watch(runs_dir=self.folder, **self.settings)

    def close(self) -> str:
        self.watch.stop()
        return said_of(self.watch.writer.path)


class ScriptFull(Script):
    settings: ClassVar[dict[str, Any]] = {"full": True}


def said_of(path: Path) -> str:
    messages = pellucid.open_run(path).table("events")["message"].to_pylist()
    return "; ".join(message for message in messages if message.startswith("the watch took"))


class Norms(Arm):
    """Gradient and weight norms by multi-tensor operations."""

    def see(self, loss: Tensor) -> None:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        with torch.no_grad():
            self.norms = [n.item() for n in torch._foreach_norm([p.grad for p in parameters])]
            self.norms += [n.item() for n in torch._foreach_norm(parameters)]


class Hooks(Arm):
    """What one writes by hand."""

    def look(self) -> None:
        self.seen: dict[str, list[float]] = {}
        for name, module in self.model.named_modules():
            if not list(module.children()):
                module.register_forward_hook(self.hook(name))

    def hook(self, name: str) -> Callable[..., None]:
        def observe(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                x = output.detach()
                figures = (x.mean(), x.std(), x.min(), x.max(), (x == 0).float().mean())
                self.seen[name] = [figure.item() for figure in figures]

        return observe

    def see(self, loss: Tensor) -> None:
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                self.seen[name] = [parameter.grad.norm().item(), parameter.detach().norm().item()]


class TensorBoard(Arm):
    def look(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.board = SummaryWriter(str(self.folder / "tensorboard"))

    def see(self, loss: Tensor) -> None:
        self.board.add_scalar("loss", loss.item(), self.step)
        for name, parameter in self.model.named_parameters():
            self.board.add_histogram(name, parameter.detach(), self.step)
            if parameter.grad is not None:
                self.board.add_histogram(f"{name}.grad", parameter.grad, self.step)


class Wandb(Arm):
    def look(self) -> None:
        import wandb

        os.environ["WANDB_SILENT"] = "true"
        self.run = wandb.init(mode="offline", dir=str(self.folder), project="x", reinit=True)
        self.run.watch(self.model, log="all", log_freq=1)

    def see(self, loss: Tensor) -> None:
        self.run.log({"loss": loss.item()})

    def close(self) -> str:
        self.run.finish()
        return ""


BARS = {"mlp": (1.05, 1.6), "cnn": (1.03, 1.25), "gpt2": (1.03, 1.2)}
OWN: list[type[Arm]] = [Again, Watched, Script, Full, ScriptFull, Norms]
PEERS: list[type[Arm]] = [Hooks, TensorBoard, Wandb]
TASKS: dict[str, Callable[[], Task]] = {"mlp": mlp, "cnn": cnn, "gpt2": gpt2}


def serve(pipe: Connection, kind: str, name: str, folder: str, arms: int) -> None:
    """Be one arm: train as many steps as asked for, and tell the processor's seconds since the last answer."""
    from pellucid.store import flushing

    flushing.FLUSH_INTERVAL_S *= arms
    flushing._LONGEST_INTERVAL_S *= arms
    try:
        arm = {each.__name__: each for each in [Arm, *OWN, *PEERS]}[kind](TASKS[name], Path(folder))
    except ImportError:
        pipe.send(None)
        return
    pipe.send("ready")
    clocks = time.process_time(), time.thread_time()
    while steps := pipe.recv():
        arm.train(steps)
        now = time.process_time(), time.thread_time()
        pipe.send((now[0] - clocks[0], now[1] - clocks[1]))
        clocks = now
    said = arm.close()
    pipe.send((time.process_time() - clocks[0], said))


class Remote:
    """An arm in its process."""

    def __init__(self, kind: type[Arm], name: str, folder: str, arms: int) -> None:
        self.kind = kind
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs, kind.__name__, name, folder, arms))
        self.process.start()
        theirs.close()
        self.is_there = self.pipe.recv() is not None
        self.turns: list[tuple[float, float]] = []

    def train(self, steps: int) -> tuple[float, float]:
        self.pipe.send(steps)
        return self.pipe.recv()

    def close(self) -> tuple[float, str]:
        self.pipe.send(0)
        closing = self.pipe.recv()
        self.process.join()
        return closing


def turn(running: list[Remote], steps: int) -> None:
    """So many steps of every arm, in blocks that alternate."""
    spent = [[0.0, 0.0] for _ in running]
    block = max(1, -(-steps // BLOCKS))
    for _ in range(BLOCKS):
        for own, arm in zip(spent, running, strict=True):
            whole, main = arm.train(block)
            own[0] += whole / (BLOCKS * block)
            own[1] += main / (BLOCKS * block)
    for own, arm in zip(spent, running, strict=True):
        arm.turns.append((own[0], own[1]))


def measure(name: str, kinds: list[type[Arm]], turns: int, turn_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = [Remote(kind, name, folder, 1 + len(kinds)) for kind in [Arm, *kinds]]
        running = [arm for arm in started if arm.is_there]
        plain = running[0]
        warm = [arm.train(WARM_UP[name])[0] for arm in running]
        plain_step_s = warm[0] / WARM_UP[name]
        steps = max(BLOCKS, round(turn_s / plain_step_s))
        for _ in range(turns):
            turn(running, steps)
        base = statistics.median(whole for whole, _ in plain.turns)
        print(f"{name}: {base * 1e3:.2f} ms a step, {turns} turns of {steps} steps")
        bars = {Watched: BARS[name][0], Script: BARS[name][0], Full: BARS[name][1], ScriptFull: BARS[name][1]}
        closings = [arm.close() for arm in running]
        for arm, first_s, (closing_s, said) in list(zip(running, warm, closings, strict=True))[1:]:
            ratios = [one / other for (one, _), (other, _) in zip(arm.turns, plain.turns, strict=True)]
            main = [one / other for (_, one), (_, other) in zip(arm.turns, plain.turns, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            sums = sum(one for one, _ in arm.turns) / sum(one for one, _ in plain.turns)
            bar = f"  bar {bars[arm.kind]}" if arm.kind in bars else ""
            print(
                f"  {arm.kind.__name__:12} {middle:.3f}  (quartiles {low:.3f} … {high:.3f}; sums {sums:.3f}; training "
                f"thread {statistics.median(main):.3f}; first {WARM_UP[name]} steps {first_s - warm[0]:+.2f} s, "
                f"closing {closing_s:.2f} s){bar}"
            )
            if said:
                print(f"{'':15}{said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--turn-s", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=list(BARS), choices=list(BARS))
    parser.add_argument("--arms", nargs="*", default=[kind.__name__ for kind in OWN], help="which of these to run")
    parser.add_argument("--peers", action="store_true")
    given = parser.parse_args()
    kinds = [kind for kind in OWN + PEERS if kind.__name__ in given.arms or (given.peers and kind in PEERS)]
    for name in given.only:
        measure(name, kinds, given.turns, given.turn_s)


if __name__ == "__main__":
    main()
