"""Training labels changed on purpose: which, to what, and the data of a run as it was trained on."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pellucid.data.load import prepare
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pellucid.data.prepared import Prepared
    from pellucid.training.settings import FitSettings

__all__ = [
    "LABEL_NOISE_FILE",
    "Flips",
    "draw_flips",
    "flips_of",
    "label_noise_file",
    "prepare_as_trained",
    "with_noise",
]

LABEL_NOISE_FILE = "label_noise.parquet"


@dataclass(frozen=True)
class Flips:
    """The training examples whose label was changed.

    Attributes:
        places: ``(flipped,)`` places in the training split, rising.
        given: ``(flipped,)`` the classes that they were trained with.
        true: ``(flipped,)`` the classes that stood in the data.
    """

    places: np.ndarray
    given: np.ndarray
    true: np.ndarray

    def __len__(self) -> int:
        return len(self.places)


def draw_flips(examples: int, classes: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which examples get another label, and by how many classes it moves (1 to classes − 1, modulo the classes).

    Exactly ``round(share · examples)`` examples, each with every wrong class equally likely; the seed decides which.

    >>> places, shifts = draw_flips(10, 3, 0.2, seed=0)
    >>> len(places), bool(((shifts > 0) & (shifts < 3)).all())
    (2, True)
    """
    generator = np.random.default_rng(seed)
    places = np.sort(generator.choice(examples, round(share * examples), replace=False))
    return places, generator.integers(1, classes, len(places))


def with_noise(prepared: Prepared, settings: FitSettings) -> Prepared:
    """The data with ``settings.label_noise`` of the training labels changed; validation and test stay as they are.

    Raises:
        SettingsError: the examples do not have one class each.
    """
    if not settings.label_noise:
        return prepared
    train = prepared.splits["train"]
    if prepared.classes is None or train.targets.ndim != 1 or len(prepared.classes) < 2:
        raise SettingsError(
            "labels can be changed only where every example has one of several classes",
            place="label_noise",
            remedy="use 0, or data of classes",
        )
    places, shifts = draw_flips(len(train), len(prepared.classes), settings.label_noise, settings.label_noise_seed)
    targets = train.targets.clone()
    chosen = torch.from_numpy(places)
    targets[chosen] = (targets[chosen] + torch.from_numpy(shifts)) % len(prepared.classes)
    note = (
        f"{len(places):,} of {len(train):,} training labels were changed on purpose "
        f"(seed {settings.label_noise_seed}); validation and test are as they were."
    )
    return replace(
        prepared,
        splits={**prepared.splits, "train": replace(train, targets=targets)},
        notes=(*prepared.notes, note),
    )


def flips_of(prepared: Prepared, settings: FitSettings) -> Flips | None:
    """What ``with_noise`` changed, read back from the changed data; None where nothing was."""
    if not settings.label_noise or prepared.classes is None:
        return None
    train, classes = prepared.splits["train"], len(prepared.classes)
    places, shifts = draw_flips(len(train), classes, settings.label_noise, settings.label_noise_seed)
    given = train.targets.cpu().numpy()[places]
    return Flips(places, given, (given - shifts) % classes)


def label_noise_file(prepared: Prepared, flips: Flips) -> bytes:
    """Parquet with one line a changed label: its row in the source, the class given and the true one."""
    names = np.array(prepared.classes or (), dtype=object)
    buffer = io.BytesIO()
    columns = {
        "row": pa.array(prepared.splits["train"].rows[flips.places], pa.int64()),
        "given": pa.array(names[flips.given].tolist(), pa.string()),
        "true": pa.array(names[flips.true].tolist(), pa.string()),
    }
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def prepare_as_trained(source: str | Path, settings: FitSettings) -> Prepared:
    """The source prepared as the settings say, changed labels included: what a run trains on.

    Raises:
        DataError: the data cannot be used.
        SettingsError: a setting does not suit the data.
    """
    return with_noise(prepare(source, settings.data, seed=settings.seed), settings)
