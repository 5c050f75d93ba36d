"""Augmentations against NumPy and SciPy, and what they must never change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Generator

from pellucid.data.augment import AUGMENTATIONS, build_augmentation
from pellucid.errors import SettingsError


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(count: int = 6, height: int = 8, width: int = 10, kind: torch.dtype = torch.float32) -> torch.Tensor:
    drawn = torch.randint(0, 256, (count, 3, height, width), generator=generator(7))
    return drawn.to(kind)


LABELS = torch.arange(6)


def run(
    name: str, inputs: torch.Tensor, targets: torch.Tensor = LABELS, seed: int = 0, modality: str = "image", **more
):
    augment = build_augmentation((name,), modality, **more)
    assert augment is not None
    return augment(inputs, targets, generator(seed))


@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_shift_moves_by_whole_pixels_and_repeats_the_border(kind):
    before = images(kind=kind)
    after, labels = run("shift:0.25", before)
    assert after.dtype == kind
    assert labels is LABELS
    height, width = before.shape[2:]
    moves = set()
    for old, new in zip(before.numpy(), after.numpy(), strict=True):
        padded = np.pad(old, ((0, 0), (3, 3), (3, 3)), mode="edge")
        matches = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.array_equal(padded[:, 3 - down : 3 - down + height, 3 - right : 3 - right + width], new)
        ]
        assert len(matches) == 1
        down, right = matches[0]
        rolled = np.roll(old, (down, right), axis=(1, 2))
        rows, columns = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        np.testing.assert_array_equal(new[:, rows, columns], rolled[:, rows, columns])
        moves.add(matches[0])
    assert len(moves) > 1


def test_flip_equals_numpy():
    before = images()
    after, _ = run("flip:1", before)
    np.testing.assert_array_equal(after, np.flip(before.numpy(), axis=3))


def test_flip_takes_about_its_share():
    before = images(1).repeat(2000, 1, 1, 1)
    after, _ = run("flip:0.3", before, torch.zeros(2000))
    flipped = (after != before).flatten(1).any(1).double().mean()
    assert abs(float(flipped) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_rotation_equals_scipy(height, width):
    before = torch.rand(5, 2, height, width, generator=generator(3), dtype=torch.float64)
    after, _ = run("rotate:40", before, torch.zeros(5), seed=5)
    drawn = torch.rand(5, generator=generator(5))
    for old, new, number in zip(before.numpy(), after.numpy(), drawn.numpy(), strict=True):
        degrees = (2 * number - 1) * 40
        # affine_grid turns the sampling points, SciPy the picture the other way round in its row-first axes
        expected = ndimage.rotate(old, degrees, axes=(1, 2), reshape=False, order=1, mode="nearest")
        np.testing.assert_allclose(new, expected, atol=1e-5)


def test_cutout_hides_one_square_of_each_image():
    before = images(height=12, width=12) + 1000 * torch.rand(6, 3, 12, 12, generator=generator(1))
    after, _ = run("cutout:0.5", before)
    mean = before.mean(dim=(0, 2, 3))
    for old, new in zip(before, after, strict=True):
        changed = (old != new).all(0)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        assert 1 <= len(rows) <= 6
        assert 1 <= len(columns) <= 6
        assert int(changed.sum()) == len(rows) * len(columns) == int((old != new).any(0).sum())
        torch.testing.assert_close(new[:, changed], mean[:, None].expand(-1, int(changed.sum())))


def test_noise_has_the_spread_asked_for():
    table = torch.zeros(400, 50)
    after, _ = run("noise:0.2", table, torch.zeros(400), modality="table")
    assert abs(float(after.std()) - 0.2) < 0.01
    pixels = images(64, 16, 16)
    noisy, _ = run("noise:0.1", pixels, torch.zeros(64))
    assert float((noisy - pixels).std() / pixels.std(correction=0)) == pytest.approx(0.1, rel=0.05)
    assert float((noisy - pixels).mean().abs()) < 0.5


def test_mixup_of_classes_gives_probabilities_of_the_same_mix():
    count, classes = 500, 4
    labels = torch.randint(0, classes, (count,), generator=generator(2))
    one_hot = torch.nn.functional.one_hot(labels, classes).float()
    inputs, targets = run("mixup:0.4", one_hot.clone(), labels, modality="table", classes=classes)
    torch.testing.assert_close(inputs, targets)  # inputs were the one-hot labels, so both must be mixed alike
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    weights = targets.max(1).values[targets.max(1).values < 1]
    assert len(weights) > 100
    loss = torch.nn.functional.cross_entropy(torch.zeros(count, classes), targets)
    assert float(loss) == pytest.approx(np.log(classes), rel=1e-5)


def test_mixup_weights_follow_beta():
    from scipy import stats

    count = 4000
    inputs = torch.zeros(count, 1)
    inputs[: count // 2] = 1.0
    targets = torch.arange(count, dtype=torch.float64)[:, None]
    _, mixed = run("mixup:0.5", inputs, targets, modality="series")
    mixing = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator()))).beta(0.5, 0.5, count)
    assert stats.kstest(mixing, stats.beta(0.5, 0.5).cdf).pvalue > 0.01
    assert float(mixed.mean()) == pytest.approx(float(targets.mean()), rel=0.05)
    assert float(mixed.min()) >= 0
    assert float(mixed.max()) <= count - 1


@pytest.mark.parametrize("name", [name for name, kind in AUGMENTATIONS.items() if "image" in kind.modalities])
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_the_same_seed_gives_the_same_batch_and_nothing_is_changed_in_place(name, kind):
    before = images(kind=kind)
    kept, global_state = before.clone(), torch.get_rng_state()
    first, first_targets = run(name, before, classes=6)
    second, second_targets = run(name, before, classes=6)
    other, _ = run(name, before, seed=1, classes=6)
    assert torch.equal(before, kept)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert torch.equal(first, second)
    assert torch.equal(first_targets, second_targets)
    assert not torch.equal(first, other)
    assert first.dtype == kind
    assert first.shape == before.shape


def test_several_apply_in_order_and_mixup_comes_last():
    augment = build_augmentation(("mixup", "flip:1", "noise:0.01"), "image", classes=6)
    assert augment is not None
    inputs, targets = augment(images(), LABELS, generator())
    assert targets.shape == (6, 6)
    assert inputs.shape == images().shape


def test_nothing_named_is_nothing():
    assert build_augmentation((), "image") is None


@pytest.mark.parametrize(
    ("name", "modality", "message"),
    [
        ("swirl", "image", "known: shift, flip, rotate, cutout, noise, mixup"),
        ("flip", "table", "known: noise, mixup"),
        ("noise", "text", "known: none"),
        ("shift:0.9", "image", "above 0 and at most 0.5"),
        ("shift:lots", "image", "largest shift as a part of the side"),
        ("shift:nan", "image", "above 0"),
        ("noise:0", "series", "above 0"),
    ],
)
def test_unknown_names_and_strengths_are_refused(name, modality, message):
    with pytest.raises(SettingsError) as caught:
        build_augmentation((name,), modality)
    assert message in str(caught.value)


def test_twice_the_same_and_mixup_without_classes_are_refused():
    with pytest.raises(SettingsError, match="twice"):
        build_augmentation(("flip", "flip:0.2"), "image")
    with pytest.raises(SettingsError, match="how many classes"):
        run("mixup", torch.zeros(6, 2), LABELS, modality="table")
