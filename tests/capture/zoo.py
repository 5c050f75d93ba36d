"""Small models that are awkward to trace, each with its inputs, target and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class Case:
    """A model, what it is given, and the loss of what it returns."""

    model: nn.Module
    inputs: tuple[Any, ...]
    loss: Callable[..., Any] | str
    target: Any = None
    keywords: dict[str, Any] | None = None


def total(output: Any) -> Tensor:
    return output.square().sum()


def classes(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target)


class Functional(nn.Module):
    """Only functional calls, weights used twice, a branch that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4) / 2)
        self.scale = torch.tensor(0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(functional.linear(x, self.weight))
        if h.sum() > 1e6:
            return h
        return functional.gelu(h @ self.weight.T) * self.scale + x


class Cell(nn.Module):
    """One cell in a Python loop that writes into a tensor made beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 4)
        out = torch.zeros(x.shape[0], x.shape[1], 4)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            out[:, t] = h
        return out


class InPlace(nn.Module):
    """In-place operations on whole tensors, on views, and through views of what is read later."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h.mul_(0.5)
        flat = h.view(-1)
        flat.mul_(3)
        h[:, 0] += 1
        h[:, 1:3] *= h[:, 3:5].detach() + 2
        g = self.first(x)
        functional.relu(g.view(-1), inplace=True)
        return self.second(h * 2 + flat.view_as(h) + g)


class InputWriter(nn.Module):
    """Writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x -= x.mean()
        return self.linear(x)


@dataclass
class Result:
    logits: Tensor
    hidden: tuple[Tensor, ...]


class Structured(nn.Module):
    """A dict in, a dataclass out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, batch: dict[str, Tensor], *, scale: Tensor) -> Result:
        hidden = self.embed(batch["ids"]) * batch["mask"].unsqueeze(-1)
        pooled = hidden.sum(1) / batch["mask"].sum(1, keepdim=True)
        return Result(self.head(pooled) * scale, (hidden, pooled))


class Straight(torch.autograd.Function):
    """Rounds forward, passes the gradient through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 0.5


class Custom(nn.Module):
    """A custom autograd function, a stretch without gradient, a step that has none, a gradient inside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = Straight.apply(self.linear(x) * 3)
        with torch.no_grad():
            centre = h.mean()
        place = h.argmax(-1)
        energy = self.linear(x).square().sum()
        (slope,) = torch.autograd.grad(energy, self.linear.weight, create_graph=True)
        return h - centre + functional.one_hot(place, 3) * slope.sum()


class Stateful(nn.Module):
    """Counts its calls, keeps a running buffer, rebinds another, fills a list and clips its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("running", torch.zeros(3))
        self.register_buffer("rebound", torch.zeros(3))
        self.calls = 0
        self.log: list[Any] = []
        self.cache = torch.zeros(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.linear.weight.data.clamp_(-0.3, 0.3)
        self.running.mul_(0.9).add_(x.mean(0).detach(), alpha=0.1)
        self.rebound = self.rebound + 1
        self.log.append(self.calls)
        self.cache[0] = x[0].detach()
        return self.linear(x) + self.running + self.rebound + self.cache.sum(0)


class Attention(nn.Module):
    """torch's own transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Recurrent(nn.Module):
    """torch's own LSTM, two layers and both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class Variational(nn.Module):
    """A VAE with reparameterisation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(z), mean, log_variance


def elbo(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:
    reconstruction, mean, log_variance = output
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    return {"reconstruction": functional.mse_loss(reconstruction, target, reduction="sum"), "divergence": divergence}


class Mixed(nn.Module):
    """Automatic mixed precision inside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = functional.relu(self.first(x))
            return self.second(h)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip


def shared() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def weight_normed() -> nn.Module:
    norms = nn.utils.parametrizations
    return nn.Sequential(norms.weight_norm(nn.Linear(4, 4)), norms.spectral_norm(nn.Linear(4, 4)))


def cases() -> dict[str, Callable[[], Case]]:
    """Every case by name; each call makes a fresh one."""
    labels = torch.tensor([0, 2, 1, 0])
    ids = {"ids": torch.randint(0, 10, (2, 5)), "mask": torch.ones(2, 5)}
    x = torch.randn(5, 6)
    return {
        "mlp": lambda: Case(
            nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), (torch.randn(4, 4),), classes, labels
        ),
        "cnn": lambda: Case(convolutional(), (torch.randn(4, 1, 8, 8),), classes, labels),
        "functional": lambda: Case(Functional(), (torch.randn(3, 4),), total),
        "cell in a loop": lambda: Case(Cell(), (torch.randn(2, 4, 3),), total),
        "in place": lambda: Case(InPlace(), (torch.randn(3, 4),), total),
        "input written": lambda: Case(InputWriter(), (torch.randn(2, 3),), total),
        "structures": lambda: Case(
            Structured(),
            (ids,),
            lambda out: total(out.logits) + out.hidden[1].sum(),
            None,
            {"scale": torch.tensor(2.0)},
        ),
        "custom function": lambda: Case(Custom(), (torch.randn(2, 3),), total),
        "stateful": lambda: Case(Stateful(), (torch.randn(2, 3),), total),
        "transformer layer": lambda: Case(Attention(), (torch.randn(2, 3, 8),), total),
        "lstm": lambda: Case(Recurrent(), (torch.randn(3, 2, 3),), total),
        "vae": lambda: Case(Variational(), (x,), elbo, x),
        "mixed precision": lambda: Case(Mixed(), (torch.randn(3, 4),), lambda out: out.float().square().sum()),
        "shared layer": lambda: Case(shared(), (torch.randn(2, 4),), total),
        "weight norm": lambda: Case(weight_normed(), (torch.randn(2, 4),), total),
        "zero-size batch": lambda: Case(nn.Linear(4, 2), (torch.randn(0, 4),), total),
        "nan": lambda: Case(nn.Linear(4, 2), (torch.full((2, 4), float("nan")),), total),
    }
