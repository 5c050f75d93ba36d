"""What a trace of a GPT-2-sized model weighs over the bytes of its activations and gradients, and under limits.

python benchmarks/trace_memory.py [--tokens 128] [--size gpt-2]

Each measurement has a process of its own. The peak is the most resident memory above what was there before the trace
(the model, torch, and what one plain forward pass left behind); the bytes are those of all values and gradients of an
unlimited trace, shared memory counted once, parameters and buffers not. Needs no other package: GPT-2's own sizes
(12 layers, 768 wide, 50,257 words, the head tied to the embedding) are written out here.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layer(nn.Module):
    """One of GPT-2's layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the two linear layers, each beside the stream."""
        batch, length, width = x.shape
        parts = self.project(self.norm1(x)).split(width, dim=-1)
        query, key, value = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(functional.gelu(self.wide(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    """GPT-2, its head tied to its embedding."""

    def __init__(self, layers: int, width: int, heads: int, words: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(1024, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        """The scores of the next word."""
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) @ self.words.weight.T


SIZES = {"gpt-2": (12, 768, 12, 50257), "middle": (4, 256, 4, 12000), "small": (2, 64, 4, 1000)}
"""Layers, width, heads and words."""


def make(size: str, tokens: int) -> tuple[nn.Module, Tensor]:
    """The model and its input."""
    torch.manual_seed(0)
    return Gpt2(*SIZES[size]).eval(), torch.randint(0, SIZES[size][3], (1, tokens))


def loss(output: Tensor) -> Tensor:
    """The mean surprise at the next word (here: at a fixed one)."""
    return functional.cross_entropy(output[0], torch.zeros(output.shape[1], dtype=torch.int64))


def memory_of(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def tape_bytes(tape: Any) -> int:
    """The bytes of a tape's values and gradients; the parameters' own memory and views of it are not counted."""
    held: dict[int, int] = {}
    for value in tape.values:
        for tensor in (value.tensor, value.gradient):
            if tensor is not None:
                held[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
    for value in (*tape.parameters.values(), *tape.buffers.values()):
        held.pop(value.tensor.untyped_storage()._cdata, None)
    return sum(held.values())


def measure(size: str, tokens: int, limit: int | None) -> None:
    """Print one trace's figures as JSON."""
    from pellucid.capture.tape import record_tape

    torch.set_num_threads(1)
    record_tape(*make("small", 8), loss=loss)
    model, ids = make(size, tokens)
    with torch.no_grad():
        model(ids)
    gc.collect()
    before = memory_of("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    tape = record_tape(model, ids, loss=loss, memory_limit=limit)
    peak = memory_of("VmHWM") - before
    dropped = sum(value.tensor is None for value in tape.values)
    gradients = sum(value.gradient.nbytes for value in tape.parameters.values() if value.gradient is not None)
    print(json.dumps({"peak": peak, "kept": tape_bytes(tape), "dropped": dropped, "gradients": gradients}))


def child(*arguments: str) -> dict[str, int]:
    """What a process of this script printed."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure without a limit, then with half and a tenth of what that kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--size", choices=list(SIZES), default="gpt-2")
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.size, options.tokens, options.limit)
        return
    common = ["--child", "--tokens", str(options.tokens), "--size", options.size]
    whole = child(*common)
    activations = whole["kept"] - whole["gradients"]
    print(f"{'limit MB':>10}{'peak MB':>10}{'kept MB':>10}{'dropped':>9}{'peak ÷ all activations and gradients':>38}")
    for limit in (None, activations // 2, activations // 10, 0):
        found = whole if limit is None else child(*common, "--limit", str(limit))
        name = "none" if limit is None else f"{limit / 1e6:.1f}"
        print(
            f"{name:>10}{found['peak'] / 1e6:10.1f}{found['kept'] / 1e6:10.1f}{found['dropped']:9}"
            f"{found['peak'] / whole['kept']:38.2f}"
        )


if __name__ == "__main__":
    main()
