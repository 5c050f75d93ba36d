"""What does the watch cost? CPU time of a training step watched over unwatched, with peers in the same run.

    OMP_NUM_THREADS=1 python benchmarks/watch.py [--turns 12] [--turn-s 1.0] [--only mlp cnn gpt2] [--peers]

Each arm trains its own copy of one network on the same batches, in turns of about a second, one arm after the other, so
that a busy machine is busy for all. Counted is the processor time of the whole process, the writing thread and, for the
watch, a flush of its rows at the end of each turn included. Printed is the median over turns of an arm's time over the
unwatched one's, and in brackets the ratio of the sums. Closing the run is timed beside it.

Peers: hooks written by hand (mean, spread, extremes and zeros of each output, norms of each gradient and weight, every
step); the gradient and weight norms alone; and, where they are installed, TensorBoard histograms of every gradient and
weight and ``wandb.watch(log="all", log_freq=1)`` offline, whose own process is not counted.
"""

# ruff: noqa: D101, D102
from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
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


WARM_UP = 20
"""The first steps are all looked at (0, 1, 2, 4, 8, 16, …), so that short runs are seen too."""


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
    """One copy of the network, trained in turns; subclasses look at it."""

    def __init__(self, make: Callable[[], Task], folder: Path) -> None:
        self.model, self.optimizer, self.batches, self.loss_of = make()
        self.folder = folder
        self.step = 0
        self.turns: list[float] = []
        self.look()

    def look(self) -> None:
        """Attach whatever looks."""

    def see(self, loss: Tensor) -> None:
        """After the backward pass."""

    def see_update(self) -> None:
        """After the optimiser's step."""

    def end_turn(self) -> None:
        """Write what waits."""

    def close(self) -> None:
        """Finish."""

    def turn(self, steps: int) -> None:
        began = time.process_time()
        for _ in range(steps):
            x, y = self.batches[self.step % len(self.batches)]
            self.optimizer.zero_grad()
            loss = self.loss_of(self.model(x), y)
            loss.backward()
            self.see(loss)
            self.optimizer.step()
            self.see_update()
            self.step += 1
        self.end_turn()
        self.turns.append((time.process_time() - began) / steps)


class Watched(Arm):
    settings: ClassVar[dict[str, Any]] = {}

    def look(self) -> None:
        self.run = pellucid.watch(self.model, self.optimizer, runs_dir=self.folder, **self.settings)
        self.run.__enter__()

    def see(self, loss: Tensor) -> None:
        self.run.log(loss=loss)

    def end_turn(self) -> None:
        self.run.writer.flush()

    def close(self) -> None:
        began = time.process_time()
        self.run.__exit__(None, None, None)
        cost = time.process_time() - began
        reader = pellucid.open_run(self.run.writer.path)
        said = [m for m in reader.table("events")["message"].to_pylist() if m.startswith("the watch took")]
        print(f"    {type(self).__name__}: closing took {cost * 1e3:.0f} ms for {self.step} steps; it says: {said}")


class Full(Watched):
    settings: ClassVar[dict[str, Any]] = {"full": True}


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

    def end_turn(self) -> None:
        self.board.flush()


class Wandb(Arm):
    def look(self) -> None:
        import wandb

        os.environ["WANDB_SILENT"] = "true"
        self.run = wandb.init(mode="offline", dir=str(self.folder), project="x", reinit=True)
        self.run.watch(self.model, log="all", log_freq=1)

    def see(self, loss: Tensor) -> None:
        self.run.log({"loss": loss.item()})

    def close(self) -> None:
        self.run.finish()


BARS = {"mlp": (1.05, 1.6), "cnn": (1.03, 1.25), "gpt2": (1.03, 1.2)}
PEERS: list[type[Arm]] = [Norms, Hooks, TensorBoard, Wandb]


def measure(name: str, arms: list[type[Arm]], turns: int, turn_s: float) -> None:
    make = {"mlp": mlp, "cnn": cnn, "gpt2": gpt2}[name]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running: list[Arm] = []
        for kind in [Arm, *arms]:
            with contextlib.suppress(ImportError):
                running.append(kind(make, Path(folder)))
                stack.callback(running[-1].close)
        plain = running[0]
        plain.turn(3)
        plain.turn(5)
        steps = max(2, round(turn_s / plain.turns[-1]))
        for arm in running:
            arm.turn(max(steps, WARM_UP))  # left out
            arm.turns = []
        for _ in range(turns):
            for arm in running:
                arm.turn(steps)
        print(f"{name}: {statistics.median(plain.turns) * 1e3:.2f} ms a step, {turns} turns of {steps} steps")
        for arm in running[1:]:
            ratios = [one / other for one, other in zip(arm.turns, plain.turns, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            sums = sum(arm.turns) / sum(plain.turns)
            bar = dict(zip((Watched, Full), BARS[name], strict=True)).get(type(arm))
            print(
                f"  {type(arm).__name__:12} {middle:.3f}  (quartiles {low:.3f} … {high:.3f}; sums {sums:.3f})"
                + (f"  bar {bar}" if bar else "")
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--turn-s", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=list(BARS), choices=list(BARS))
    parser.add_argument("--peers", action="store_true")
    given = parser.parse_args()
    for name in given.only:
        measure(name, [Watched, Full, *(PEERS if given.peers else [])], given.turns, given.turn_s)


if __name__ == "__main__":
    main()
