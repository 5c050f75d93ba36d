"""What a trace costs over a plain forward and backward pass, ours and TorchLens's: CPU time and peak memory.

python benchmarks/trace.py [--turns 15] [--models mlp-2 mlp-784 resnet-18 gpt-2]
python benchmarks/trace.py --explain [--entries 3] [--all]

Each model and tracer has a process of its own, in which plain passes and traces take turns; all values and gradients
are kept. TorchLens leaves its wrappers in torch, so its plain passes are timed before its first trace too ("clean").
GPT-2 needs transformers, the peer torchlens; what is not installed is skipped.

With --explain: how long an ``explain()`` takes, by kind of operation, for random entries of every step's output (value
and gradient) and of every parameter (gradient and update), traced once with AdamW; wall-clock milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TRACERS = ("pellucid", "torchlens")


class Block(nn.Module):
    """A basic residual block."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = None
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions and the shortcut."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


def resnet18() -> nn.Module:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks: list[nn.Module] = []
    inside = 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(inside, outside, stride), Block(outside, outside, 1)]
        inside = outside
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()


def make(name: str) -> tuple[nn.Module, Tensor, Callable[[Any], Tensor]]:
    """A model, its input, and its loss of the output."""
    torch.manual_seed(0)
    if name == "mlp-2":
        model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
        target = torch.randn(32, 1)
        return model, torch.randn(32, 2), lambda out: functional.mse_loss(out, target)
    if name == "mlp-784":
        layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
        labels = torch.randint(0, 10, (32,))
        return nn.Sequential(*layers), torch.randn(32, 784), lambda out: functional.cross_entropy(out, labels)
    if name == "resnet-18":
        label = torch.tensor([3])
        return resnet18(), torch.randn(1, 3, 224, 224), lambda out: functional.cross_entropy(out, label)
    ids = torch.randint(0, 50257, (1, 128))
    return gpt2(), ids, lambda out: functional.cross_entropy(out.logits[0, :-1], ids[0, 1:])


def passes(name: str, tracer: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A plain forward and backward pass, and a traced one."""
    model, x, loss = make(name)

    def plain() -> None:
        model.zero_grad()
        loss(model(x)).backward()

    def ours() -> Any:
        from pellucid.capture.tape import record_tape

        return record_tape(model, x, loss=loss)

    def theirs() -> Any:
        import torchlens

        model.zero_grad()
        kept: list[Any] = []
        handle = model.register_forward_hook(lambda module, args, output: kept.append(output))
        options = torchlens.options.CaptureOptions(save_grads="all", backward_ready=True)
        trace = torchlens.trace(model, x, capture=options)
        handle.remove()
        trace.log_backward(loss(kept[0]))
        return trace

    return plain, ours if tracer == "pellucid" else theirs


def cpu_s(run: Callable[[], Any], calls: int) -> float:
    """CPU time of one call, the mean over several; what a call made is gone before the next."""
    began = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - began) / calls


def memory_of(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_bytes(run: Callable[[], Any]) -> tuple[int, Any]:
    """The most resident memory that one call had above what was there before it."""
    gc.collect()
    before = memory_of("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = run()
    return memory_of("VmHWM") - before, result


def tape_bytes(tape: Any) -> int:
    """The bytes of a tape's values and gradients, shared memory counted once, parameters and buffers not."""
    seen: dict[int, int] = {}
    for value in tape.values:
        for tensor in (value.tensor if value.origin not in ("parameter", "buffer") else None, value.gradient):
            if tensor is not None:
                storage = tensor.untyped_storage()
                seen[storage._cdata] = storage.nbytes()
    return sum(seen.values())


def measure(name: str, tracer: str, turns: int) -> None:
    """Print one model's figures with one tracer as JSON."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    plain, traced = passes(name, tracer)
    calls = 20 if name.startswith("mlp") else 1
    for _ in range(3):
        plain()
    clean = statistics.median(cpu_s(plain, calls) for _ in range(turns))
    for _ in range(2):
        traced()
    times: dict[str, list[float]] = {"plain": [], "traced": []}
    for _ in range(turns):
        times["plain"].append(cpu_s(plain, calls))
        times["traced"].append(cpu_s(traced, calls))
    figures: dict[str, Any] = {key: statistics.median(found) for key, found in times.items()}
    print(json.dumps({**figures, "clean": clean}))


def measure_memory(name: str, tracer: str) -> None:
    """Print the peak memory of one trace as JSON, in a process that has run the model without gradients before."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    _, warm = passes("mlp-2", tracer)
    warm()
    _, traced = passes(name, tracer)
    peak, result = peak_bytes(traced)
    print(json.dumps({"peak": peak, "tape": tape_bytes(result) if tracer == "pellucid" else None}))


def explanations(trace: Any, entries: int) -> Iterator[tuple[str, str, Any]]:
    """(what is asked, of which kind of operation, the question) for random entries of everything in a trace."""
    draw = random.Random(0)

    def indices(shape: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(draw.randrange(size) for size in shape) for _ in range(entries if all(shape) else 0)]

    yield "value", "the loss", trace.loss
    for step in trace.tape.steps:
        for place, made in enumerate(step.outputs):
            if place == 0 and made.producer == step.index:
                name = trace.names.of(made)
                for index in indices(made.shape):
                    yield "value", step.op, trace.value(name, index)
                    if made.gradient is not None:
                        yield "gradient", step.op, trace.gradient(name, index)
    for name, update in trace.tape.updates.items():
        for index in indices(update.before.shape):
            yield "gradient", "parameter", trace.gradient(name, index)
            yield "update", "parameter", trace.update(name, index)


def measure_explanations(name: str, entries: int, *, every: bool) -> None:
    """Print how long explanations of one model's entries take."""
    import pellucid

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, x, loss = make(name)
    optimizer = torch.optim.AdamW(model.parameters())
    trace = pellucid.trace(model, x, loss=loss, optimizer=optimizer)
    times: dict[tuple[str, str], list[float]] = {}
    for kind, op, entry in explanations(trace, entries):
        began = time.perf_counter()
        entry.explain()
        times.setdefault((kind, op), []).append(1e3 * (time.perf_counter() - began))
    for (kind, op), found in sorted(times.items(), key=lambda item: -max(item[1])):
        if every or max(found) > 20:
            print(f"{name:12}{kind:10}{op:32}{len(found):6}{statistics.median(found):12.2f}{max(found):12.2f}")
    whole = [one for found in times.values() for one in found]
    slow = sum(one > 50 for one in whole)
    print(
        f"{name:12}{'all':10}{f'{slow} above 50 ms':32}{len(whole):6}{statistics.median(whole):12.2f}{max(whole):12.2f}"
    )


def explain_all(models: Sequence[str], entries: int, *, every: bool) -> None:
    """The table of explanations."""
    print(f"{'model':12}{'asked':10}{'of':32}{'count':>6}{'median ms':>12}{'worst ms':>12}")
    for name in models:
        if name != "gpt-2" or importlib.util.find_spec("transformers"):
            measure_explanations(name, entries, every=every)


def child(*arguments: str) -> dict[str, Any] | None:
    """What a process of this script printed; None if it failed."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        print("  failed: " + (done.stderr.strip().splitlines() or [""])[-1])
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure every model with every tracer and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--models", nargs="+", default=["mlp-2", "mlp-784", "resnet-18", "gpt-2"])
    parser.add_argument("--tracers", nargs="+", default=list(TRACERS))
    parser.add_argument("--child", nargs=2)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--entries", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="with --explain: every kind, not only those above 20 ms")
    options = parser.parse_args()
    if options.explain:
        explain_all(options.models, options.entries, every=options.all)
        return
    if options.child:
        kind, tracer = options.child
        if kind == "time":
            measure(options.models[0], tracer, options.turns)
        else:
            measure_memory(options.models[0], tracer)
        return
    columns = ("plain ms", "traced ms", "ratio", "over clean", "peak MB", "peak/tape")
    print(f"{'model':12}{'tracer':12}" + "".join(f"{column:>12}" for column in columns))
    for name in options.models:
        if name == "gpt-2" and importlib.util.find_spec("transformers") is None:
            print(f"{name:12}skipped: transformers is not installed")
            continue
        for tracer in options.tracers:
            if importlib.util.find_spec(tracer) is None:
                print(f"{name:12}{tracer:12}skipped: not installed")
                continue
            timed = child("--child", "time", tracer, "--models", name, "--turns", str(options.turns))
            memory = child("--child", "memory", tracer, "--models", name)
            if timed is None or memory is None:
                continue
            ratio = timed["traced"] / timed["plain"]
            against = f"{memory['peak'] / memory['tape']:12.2f}" if memory["tape"] else ""
            print(
                f"{name:12}{tracer:12}{1e3 * timed['plain']:12.2f}{1e3 * timed['traced']:12.2f}{ratio:12.2f}"
                f"{timed['traced'] / timed['clean']:12.2f}{memory['peak'] / 1e6:12.1f}{against}",
                flush=True,
            )


if __name__ == "__main__":
    main()
