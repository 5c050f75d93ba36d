"""Images turned into what a network trains on: one size, one number of channels, bytes until the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.data_report import class_counts, warn_of_classes, warn_of_splits
from pellucid.data.examples import (
    class_column,
    count_example_duplicates,
    draw_rows,
    plain_column,
    sample_rows,
    split_examples,
)
from pellucid.data.fingerprint import fingerprint
from pellucid.data.image_files import open_image_source
from pellucid.data.image_preparation import ImagePreparation, share_pixels
from pellucid.data.image_source import ImageSource, class_codes
from pellucid.data.pixels import ArrayPixels, PixelForm, Survey, as_pixels
from pellucid.data.prepared import Prepared, Split
from pellucid.data.settings import DataSettings
from pellucid.errors import DataError, SettingsError
from pellucid.results.data_report import DataReport

__all__ = ["ImagePreparation", "prepare_image_arrays", "prepare_images"]

_MOST_KEPT = 32 << 20
_MOST_BYTES = 1 << 30
"""Above this, images that come in no stated size are made smaller."""


def prepare_images(
    source: str | Path, settings: DataSettings | None = None, seed: int = 0, *, fold: int | None = None
) -> Prepared:
    """Prepare a folder of class folders, IDX, NPZ or Parquet images for training.

    Args:
        source: The path.
        settings: How to split, size and colour; ``image`` and ``target`` name Parquet columns.
        seed: For the split and the draw of ``settings.limit``.
        fold: Which of ``settings.folds`` folds is the test split; ``None`` = no folds.

    Raises:
        DataError: The source holds no images of two classes, or one of them cannot be read.
    """
    settings = settings or DataSettings()
    path = Path(source)
    found = open_image_source(path, image=settings.image, target=settings.target)
    preparation = ImagePreparation(str(path.resolve()), (), PixelForm(1, 1, 1), found.factor)
    return _prepare(found, preparation, settings, seed, fold=fold, source=str(source), digest=fingerprint(path))


def prepare_image_arrays(  # noqa: PLR0917  # called with everything in order by the embedded data sets
    images: np.ndarray,
    labels: np.ndarray | Sequence[Any],
    class_names: Sequence[str] | None,
    source_name: str,
    settings: DataSettings | None = None,
    seed: int = 0,
    *,
    label_name: str = "class",
    fold: int | None = None,
) -> Prepared:
    """Prepare images that stand in memory.

    Args:
        images: ``(n, height, width)`` or ``(n, channels, height, width)`` uint8.
        labels: ``(n,)`` class names, or class numbers into ``class_names``.
        class_names: Names of the numbers 0, 1, …; ``None`` = taken from the labels.
        source_name: What to call the data.
        settings: How to split, size and colour.
        seed: For the split and the draw of ``settings.limit``.
        label_name: What to call the class.
        fold: Which of ``settings.folds`` folds is the test split; ``None`` = no folds.
    """
    pixels, factor = as_pixels(np.asarray(images), place=source_name)
    codes, names = class_codes(
        labels, place=source_name, names=() if class_names is None else tuple(map(str, class_names))
    )
    if len(codes) != len(pixels):
        raise DataError(f"there are {len(pixels)} images but {len(codes)} labels", place=source_name)
    found = ImageSource(source_name, ArrayPixels(pixels), codes, names, factor=factor, label_name=label_name)
    kept = (pixels, codes) if pixels.nbytes <= _MOST_KEPT else None
    preparation = ImagePreparation(source_name, (), PixelForm(1, 1, 1), factor, kept=kept)
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + codes.tobytes()).hexdigest()
    return _prepare(found, preparation, settings or DataSettings(), seed, fold=fold, source=source_name, digest=digest)


def _prepare(
    found: ImageSource,
    preparation: ImagePreparation,
    settings: DataSettings,
    seed: int,
    *,
    fold: int | None,
    source: str,
    digest: str,
) -> Prepared:
    """Choose rows, split, decode and report."""
    import torch

    labels = _checked_labels(found, settings)
    used = np.flatnonzero(labels >= 0)
    groups = labels[used] if found.parts is None else np.char.add(labels[used].astype(str), found.parts[used])
    rows = draw_rows(groups, used, settings.limit, seed)
    split, method = split_examples(
        settings,
        seed,
        labels=labels[rows],
        count=len(rows),
        parts=None if found.parts is None else found.parts[rows],
        target=found.label_name,
        fold=fold,
        place=found.place,
    )
    survey = found.pixels.survey(rows)
    form, notes = _choose_form(survey, len(rows), settings)
    preparation = replace(
        preparation, classes=found.classes, form=form, image_name=found.image_name, label_name=found.label_name
    )
    pixels = {name: found.pixels.load(rows[positions], form) for name, positions in split.items()}
    scale = _pixel_scale(pixels["train"])
    facts = {
        "image size": str(form),
        "sizes found": _size_list(survey),
        "pixel mean": ", ".join(f"{value:.4f}" for value in scale[0]),
        "pixel std": ", ".join(f"{value:.4f}" for value in scale[1]),
    }
    report = _report(
        found,
        rows=rows,
        split=split,
        pixels=pixels,
        method=method,
        source=source,
        digest=digest,
        facts=facts,
        seed=seed,
    )
    if len(used) < len(found):
        notes.append(f"{len(found) - len(used)} images without a class are left out.")
    if len(rows) < len(used):
        notes.append(f"{len(rows)} of {len(used)} images are used (limit), drawn so that classes keep their shares.")
    splits = {
        name: Split(torch.from_numpy(share_pixels(pixels[name])), torch.from_numpy(labels[rows[p]]), rows[p])
        for name, p in split.items()
    }
    return Prepared(
        modality="image",
        task="classification",
        splits=splits,
        input_shape=form.shape,
        classes=found.classes,
        target_names=(found.label_name,),
        target_scale=None,
        preparation=preparation,
        report=report,
        pixel_scale=scale,
        notes=(
            *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
            *notes,
            f"{len(found.classes)} classes: {', '.join(found.classes[:12])}{'…' if len(found.classes) > 12 else '.'}",
            f"Images were split {method}: {', '.join(f'{len(part)} {name}' for name, part in splits.items())}.",
            *report.warnings,
        ),
    )


def _checked_labels(found: ImageSource, settings: DataSettings) -> np.ndarray:
    """The class numbers, if there are two classes or more."""
    if settings.task == "regression":
        raise SettingsError("images can be sorted into classes only", place="task", remedy="leave the task out")
    if found.labels is None:
        raise DataError(
            "the images have no classes to learn",
            place=found.place,
            remedy="put each class into a folder of its own, or give labels beside the images",
        )
    present = np.unique(found.labels[found.labels >= 0])
    if len(present) < 2:
        name = f" ({found.classes[present[0]]})" if len(present) else ""
        raise DataError(
            f"there {'is only one class' if len(present) else 'are no classes'}{name}",
            place=found.place,
            remedy="give images of two classes or more",
        )
    return found.labels


def _choose_form(survey: Survey, count: int, settings: DataSettings) -> tuple[PixelForm, list[str]]:
    """The size and channels for all images, and what there is to say about it."""
    if settings.image_size is not None and settings.image_size < 1:
        raise SettingsError(
            f"an image of {settings.image_size} pixels a side holds nothing",
            place="image_size",
            remedy="take 8 or more",
        )
    grey = survey.grey if settings.color == "auto" else settings.color == "grey"
    channels = 1 if grey else 3
    (height, width), commonest = survey.sizes.most_common(1)[0]
    if 2 * commonest <= count:  # no size is the usual one: take the middle of all
        height, width = (int(side) for side in np.median(list(survey.sizes.elements()), axis=0))
        commonest = survey.sizes[(height, width)]
    notes = []
    if settings.image_size is not None:
        height = width = settings.image_size
        resized = count - survey.sizes[(height, width)]
    else:
        shrink = (_MOST_BYTES / (count * channels * height * width)) ** 0.5
        resized = count - commonest
        if shrink < 1:
            height, width, resized = max(1, int(height * shrink)), max(1, int(width * shrink)), count
            notes.append(
                "The images are large: they are made smaller to fit into memory; --image-size decides the size."
            )
    form = PixelForm(channels, height, width)
    if resized:
        notes.append(f"{resized} of {count} images are resized to {height} × {width} ({_size_list(survey)}).")
    if grey != survey.grey:
        notes.append("Colour images are made grey." if grey else "Grey images get three equal channels.")
    return form, notes


def _size_list(survey: Survey) -> str:
    common = survey.sizes.most_common(3)
    listed = ", ".join(f"{count} of {height} × {width}" for (height, width), count in common)
    return listed + (f" and {len(survey.sizes) - 3} further sizes" if len(survey.sizes) > 3 else "")


def _pixel_scale(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel in 0…1, exact from counts of the 256 levels; std 1 if constant."""
    channels, levels = images.shape[1], np.arange(256) / 255
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), 4096):
        for channel in range(channels):
            counts[channel] += np.bincount(images[start : start + 4096, channel].ravel(), minlength=256)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total)
    return mean, np.where(std > 0, std, 1.0)


def _report(
    found: ImageSource,
    *,
    rows: np.ndarray,
    split: dict[str, np.ndarray],
    pixels: dict[str, np.ndarray],
    method: str,
    source: str,
    digest: str,
    facts: dict[str, str],
    seed: int,
) -> DataReport:
    labels = found.labels[rows] if found.labels is not None else np.zeros(0, dtype=np.int64)
    counts = class_counts(labels, split, len(found.classes))
    duplicates, across = count_example_duplicates(pixels)
    sizes = {name: len(positions) for name, positions in split.items()}
    shown = sample_rows(len(pixels["train"]), seed)
    without = int((found.labels < 0).sum()) if found.labels is not None else 0
    return DataReport(
        source=source,
        fingerprint=digest,
        modality="image",
        task="classification",
        rows=len(rows),
        rows_without_target=without,
        columns=(
            plain_column(
                found.image_name,
                "image",
                "image",
                (f"→ {facts['image size']}", "standardised by channel"),
                distinct=len(rows) - duplicates,
            ),
            class_column(found.label_name, labels, found.classes, without),
        ),
        features_out=int(np.prod(pixels["train"].shape[1:])),
        split_sizes=sizes,
        split_method=method,
        classes=found.classes,
        class_counts=counts,
        duplicate_rows=duplicates,
        duplicates_across_splits=across,
        leakage=(),
        facts=facts,
        warnings=(*warn_of_classes(found.classes, counts), *warn_of_splits(sizes, across)),
        sample_images=np.ascontiguousarray(pixels["train"][shown].transpose(0, 2, 3, 1)),
        sample_texts=(),
        sample_labels=tuple(found.classes[label] for label in labels[split["train"][shown]]),
    )
