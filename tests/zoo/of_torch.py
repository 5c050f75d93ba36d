"""Architectures as people write them in plain PyTorch, small, with random weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.capture.zoo import Case

__all__ = ["BUILDERS"]


class Translator(nn.Module):
    """torch's own nn.Transformer between two embeddings, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.transformer = nn.Transformer(16, 4, 2, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.transformer(self.embed(source), self.embed(target), tgt_mask=mask))


class Tagger(nn.Module):
    """A two-layer LSTM in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, bidirectional=True, dropout=0.2, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embed(ids))
        return self.head(hidden).flatten(0, 1)


def double_convolution(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """Two levels down, two levels up, skips by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = (double_convolution(*c) for c in ((1, 6), (6, 12), (12, 24)))
        self.up2, self.join2 = nn.ConvTranspose2d(24, 12, 2, stride=2), double_convolution(24, 12)
        self.up1, self.join1 = nn.Upsample(scale_factor=2, mode="bilinear"), double_convolution(18, 6)
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        deep = self.bottom(functional.max_pool2d(two, 2))
        two = self.join2(torch.cat([self.up2(deep), two], 1))
        return self.head(self.join1(torch.cat([self.up1(two), one], 1)))


class Vae(nn.Module):
    """A convolutional variational autoencoder with reparameterisation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.SiLU())
        self.mean, self.log_variance = nn.Linear(256, 4), nn.Linear(256, 4)
        self.decoder_input = nn.Linear(4, 256)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(x).flatten(1)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden).clamp(-8, 8)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(self.decoder_input(z).view(-1, 16, 4, 4)), mean, log_variance


def elbo(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:
    made, mean, log_variance = output
    divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp(), dim=1).mean()
    return {"reconstruction": functional.binary_cross_entropy(made, target), "divergence": 0.1 * divergence}


class Siamese(nn.Module):
    """One network for three pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.PReLU(), nn.AvgPool2d(2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(36, 8)
        )

    def forward(self, anchor: Tensor, like: Tensor, unlike: Tensor) -> tuple[Tensor, ...]:
        return tuple(functional.normalize(self.body(x), dim=-1) for x in (anchor, like, unlike))


class MixtureDensity(nn.Module):
    """A mixture of three normal distributions for each input."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(1, 16), nn.Tanh()), nn.Linear(16, 9)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, mean, spread = self.head(self.body(x)).chunk(3, dim=-1)
        return functional.log_softmax(weight, -1), mean, functional.softplus(spread) + 1e-3


def mixture_likelihood(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    log_weight, mean, spread = output
    log_density = -0.5 * ((target - mean) / spread) ** 2 - spread.log() - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_weight + log_density, dim=-1).mean()


class Gan(nn.Module):
    """The scores of a GAN's step: real, made, and made without a way back to the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2), nn.Tanh())
        self.discriminator = nn.Sequential(
            nn.Linear(2, 16), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(0.3), nn.Linear(16, 1)
        )

    def forward(self, real: Tensor) -> dict[str, Tensor]:
        made = self.generator(torch.randn(real.shape[0], 4))
        scores = {"real": real, "made": made.detach(), "fooling": made}
        return {name: self.discriminator(x).squeeze(-1) for name, x in scores.items()}


def gan_losses(output: dict[str, Tensor]) -> dict[str, Tensor]:
    score = functional.binary_cross_entropy_with_logits
    real, made, fooling = (output[name] for name in ("real", "made", "fooling"))
    return {
        "discriminator": score(real, torch.ones_like(real)) + score(made, torch.zeros_like(made)),
        "generator": score(fooling, torch.ones_like(fooling)),
    }


class EulerOde(nn.Module):
    """A neural differential equation, integrated by Euler's method with as many steps as the input asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, state: Tensor, until: float = 1.0) -> Tensor:
        time, path = 0.0, [state]
        while time < until and state.norm() < 100:
            moment = torch.full_like(state[:, :1], time)
            state = state + 0.1 * self.slope(torch.cat([state, moment], dim=1))
            path.append(state)
            time += 0.1
        return torch.stack(path)


@dataclass
class Tree:
    """A binary tree of words."""

    word: int = 0
    left: Tree | None = None
    right: Tree | None = None


class TreeNet(nn.Module):
    """A recursive network: a node is a gated sum of its children."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(10, 6))
        self.gate, self.join, self.head = nn.Linear(12, 6), nn.Linear(12, 6), nn.Linear(6, 3)

    def forward(self, tree: Tree) -> Tensor:
        return self.head(self.read(tree)).unsqueeze(0)

    def read(self, tree: Tree) -> Tensor:
        if tree.left is None or tree.right is None:
            return self.words[tree.word]
        left, right = self.read(tree.left), self.read(tree.right)
        both = torch.cat([left, right])
        gate = torch.sigmoid(self.gate(both))
        return gate * torch.tanh(self.join(both)) + (1 - gate) * (left + right) / 2


def _classes(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output.flatten(0, -2), target.flatten())


def _segments(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target)


def _squares(output: Tensor) -> Tensor:
    return output.square().mean()


def _triplet(output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return functional.triplet_margin_loss(*output, margin=1.0)


def _translator() -> Case:
    source, target = torch.randint(0, 20, (2, 7)), torch.randint(0, 20, (2, 6))
    return Case(Translator(), (source, target), _classes, torch.randint(0, 20, (2, 6)))


def _tree() -> Case:
    tree = Tree(
        left=Tree(left=Tree(1), right=Tree(2)), right=Tree(left=Tree(left=Tree(3), right=Tree(1)), right=Tree(4))
    )
    return Case(TreeNet(), (tree,), _segments, torch.tensor([2]))


def _vae() -> Case:
    x = torch.rand(3, 1, 16, 16)
    return Case(Vae(), (x,), elbo, x)


def _pictures(count: int) -> tuple[Any, ...]:
    return tuple(torch.randn(4, 1, 8, 8) for _ in range(count))


BUILDERS: dict[str, Callable[[], Case]] = {
    "nn.Transformer": _translator,
    "nn.LSTM, 2 layers, both ways": lambda: Case(
        Tagger(), (torch.randint(0, 20, (3, 9)),), _classes, torch.randint(0, 5, (27,))
    ),
    "U-Net": lambda: Case(UNet(), (torch.randn(2, 1, 16, 16),), _segments, torch.randint(0, 3, (2, 16, 16))),
    "VAE": _vae,
    "Siamese network": lambda: Case(Siamese(), _pictures(3), _triplet),
    "mixture density network": lambda: Case(
        MixtureDensity(), (torch.randn(12, 1),), mixture_likelihood, torch.randn(12, 1)
    ),
    "GAN step": lambda: Case(Gan(), (torch.randn(8, 2),), gan_losses),
    "neural ODE, Euler": lambda: Case(EulerOde(), (torch.randn(4, 2),), _squares),
    "recursive tree net": _tree,
}
"""Fresh cases by name."""
