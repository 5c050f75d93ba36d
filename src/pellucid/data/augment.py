"""How a training batch is varied, so that a network learns what does not matter.

Every augmentation takes a whole batch, draws from an explicit generator only, changes nothing in place, and returns
inputs of the type it was given. Images may come as ``uint8`` or as floats of any scale, before or after
standardisation: what a shift or a rotation uncovers repeats the image's border, cutout fills with the batch's mean and
noise is measured in the batch's standard deviation, so that none depends on the scale. ``uint8`` is varied as floats
and rounded back; as mixed pixels need more than 256 levels, standardise before mixup where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from pellucid.errors import SettingsError

__all__ = ["AUGMENTATIONS", "Augmentation", "build_augmentation"]

Augmentation = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class _Kind:
    """One augmentation: what its strength means and may be."""

    meaning: str
    default: float
    highest: float
    modalities: tuple[str, ...]


AUGMENTATIONS: dict[str, _Kind] = {
    "shift": _Kind("largest shift as a part of the side, in whole pixels", 0.1, 0.5, ("image",)),
    "flip": _Kind("probability of a left-right flip", 0.5, 1.0, ("image",)),
    "rotate": _Kind("largest angle in degrees", 10.0, 180.0, ("image",)),
    "cutout": _Kind("side of the square that is hidden, as a part of the image's side", 0.25, 1.0, ("image",)),
    "noise": _Kind(
        "standard deviation of the noise in the inputs' standard deviations", 0.1, 10.0, ("image", "table", "series")
    ),
    "mixup": _Kind("α of Beta(α, α), from which each mixing weight is drawn", 0.2, 10.0, ("image", "table", "series")),
}
"""What each name does, its strength if none is given, the highest one allowed, and the data it applies to."""


def build_augmentation(names: tuple[str, ...], modality: str, *, classes: int | None = None) -> Augmentation | None:
    """Make one function of the augmentations named, applied in the order given (mixup always last).

    Args:
        names: Like ``("shift", "rotate:15")``; a number after the colon is the strength.
        modality: ``"image"``, ``"table"``, ``"series"`` or ``"text"``.
        classes: How many classes there are; mixup needs it to mix class numbers.

    Returns:
        ``(inputs, targets, generator) -> (inputs, targets)``, or ``None`` if nothing is named. Targets come
        back as they were, except from mixup: class numbers then become ``(batch, classes)`` float probabilities, which
        cross-entropy accepts, and float targets are mixed like the inputs.

    Raises:
        SettingsError: A name is unknown or does not apply to this kind of data, or a strength is out of range.
    """
    if not names:
        return None
    parsed = _parse(names, modality)
    steps: list[Augmentation] = [_build(name, strength, modality, classes) for name, strength in parsed]

    def augment(inputs: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        kind = inputs.dtype
        if not inputs.is_floating_point():
            inputs = inputs.to(torch.float32)
        for step in steps:
            inputs, targets = step(inputs, targets, generator)
        return (inputs if kind.is_floating_point else inputs.round().clamp_(0, 255).to(kind)), targets

    return augment


def _parse(names: tuple[str, ...], modality: str) -> list[tuple[str, float]]:
    """Names and strengths, checked, mixup last."""
    known = {name: kind for name, kind in AUGMENTATIONS.items() if modality in kind.modalities}
    parsed: dict[str, float] = {}
    for entry in names:
        name, colon, strength = entry.partition(":")
        if name not in known:
            listed = ", ".join(known) or "none"
            raise SettingsError(
                f"there is no augmentation {name!r} for {modality} data", place="augment", remedy=f"known: {listed}"
            )
        if name in parsed:
            raise SettingsError(f"the augmentation {name!r} is named twice", place="augment", remedy="name it once")
        parsed[name] = _strength(entry, known[name], strength) if colon else known[name].default
    return sorted(parsed.items(), key=lambda item: item[0] == "mixup")


def _strength(entry: str, kind: _Kind, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= kind.highest:
        raise SettingsError(
            f"the strength in {entry!r} is not a number above 0 and at most {kind.highest:g}",
            place="augment",
            remedy=f"it is the {kind.meaning}, {kind.default:g} by default",
        )
    return value


def _build(name: str, strength: float, modality: str, classes: int | None) -> Augmentation:
    if name == "mixup":
        return lambda inputs, targets, generator: _mixup(inputs, targets, generator, strength, classes)
    if name == "noise":
        # Tables and series arrive standardised; an image's spread is seen from the batch.
        measured = modality == "image"
        return lambda inputs, targets, generator: (_noise(inputs, generator, strength, measured), targets)
    vary = {"shift": _shift, "flip": _flip, "rotate": _rotate, "cutout": _cutout}[name]
    return lambda inputs, targets, generator: (vary(inputs, generator, strength), targets)


def _uniform(count: int, generator: Generator, like: Tensor) -> Tensor:
    """``(count,)`` numbers in [0, 1), drawn where the generator lives."""
    return torch.rand(count, generator=generator, device=generator.device).to(like.device)


def _whole(count: int, largest: int, generator: Generator, like: Tensor) -> Tensor:
    """``(count,)`` whole numbers from -largest to largest."""
    drawn = torch.randint(-largest, largest + 1, (count,), generator=generator, device=generator.device)
    return drawn.to(like.device)


def _shift(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Move each image by whole pixels; the border is repeated."""
    count, channels, height, width = images.shape
    down = _whole(count, round(strength * height), generator, images)
    right = _whole(count, round(strength * width), generator, images)
    rows = (torch.arange(height, device=images.device) - down[:, None]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right[:, None]).clamp_(0, width - 1)
    images = images.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width))
    return images.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def _flip(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Mirror some images left to right."""
    chosen = _uniform(len(images), generator, images) < strength
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def _rotate(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Turn each image about its centre, bilinear; the border is repeated."""
    count, _, height, width = images.shape
    angle = (2 * _uniform(count, generator, images) - 1) * math.radians(strength)
    cosine, sine = angle.cos().to(images.dtype), angle.sin().to(images.dtype)
    zero = torch.zeros_like(sine)
    # affine_grid measures both axes from -1 to 1, so an oblong image needs its aspect in the off-diagonal terms.
    first = torch.stack([cosine, -sine * (height / width), zero], dim=1)
    second = torch.stack([sine * (width / height), cosine, zero], dim=1)
    grid = functional.affine_grid(torch.stack([first, second], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _cutout(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Hide a square, which may hang over the edge, behind the batch's mean colour (DeVries and Taylor, 2017)."""
    count, _, height, width = images.shape
    side = max(1, round(strength * min(height, width)))
    top = (_uniform(count, generator, images) * height).long() - side // 2
    left = (_uniform(count, generator, images) * width).long() - side // 2
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return torch.where(inside[:, None], images.mean(dim=(0, 2, 3), keepdim=True), images)


def _noise(inputs: Tensor, generator: Generator, strength: float, measured: bool) -> Tensor:
    """Add Gaussian noise."""
    drawn = torch.randn(inputs.shape, generator=generator, device=generator.device, dtype=inputs.dtype)
    spread = inputs.std(correction=0) if measured else 1.0
    return inputs + drawn.to(inputs.device) * (strength * spread)


def _mixup(
    inputs: Tensor, targets: Tensor, generator: Generator, strength: float, classes: int | None
) -> tuple[Tensor, Tensor]:
    """Mix each example with another one of the batch (Zhang, Cissé, Dauphin and Lopez-Paz, 2018), a weight for each."""
    if not targets.is_floating_point():
        if classes is None:
            raise SettingsError("mixup of class numbers needs to know how many classes there are", place="augment")
        targets = functional.one_hot(targets, classes).to(inputs.dtype)
    count = len(inputs)
    # torch draws no Beta numbers from an explicit generator, so it seeds one that does.
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    weights = torch.from_numpy(np.random.default_rng(seed).beta(strength, strength, count))
    partner = torch.randperm(count, generator=generator, device=generator.device).to(inputs.device)
    return _mix(inputs, weights, partner), _mix(targets, weights, partner)


def _mix(values: Tensor, weights: Tensor, partner: Tensor) -> Tensor:
    shaped = weights.to(values.device, values.dtype).reshape(-1, *[1] * (values.dim() - 1))
    return shaped * values + (1 - shaped) * values[partner]
