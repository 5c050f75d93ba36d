"""What a report says of single examples, images and texts alike: duplicates, class columns, and which rows are used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pellucid.data.settings import DataSettings
from pellucid.data.splits import SPLITS, describe_split, fold_rows, split_rows
from pellucid.errors import DataError, SettingsError
from pellucid.results.data_report import ColumnKind, ColumnReport, ColumnRole

__all__ = [
    "class_column",
    "count_example_duplicates",
    "draw_rows",
    "number_column",
    "plain_column",
    "sample_rows",
    "split_examples",
]

_MOST_VALUES = 12
_SAMPLES = 16
_BINS = 30


def draw_rows(labels: np.ndarray | None, rows: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Draw at most ``limit`` of some rows, each class keeping its share as nearly as whole numbers allow.

    Args:
        labels: ``(rows,)`` what to keep the shares of, ``None`` = nothing.
        rows: Row numbers, ascending.
        limit: How many, ``None`` = all.
        seed: Same seed, same rows.
    """
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise SettingsError(f"a limit of {limit} rows leaves nothing", place="limit", remedy="take 6 or more")
    generator = np.random.default_rng(seed)
    groups = np.zeros(len(rows), dtype=np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    order = generator.permutation(len(rows))
    order = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # A member's place within its class, from 0 to 1: the smallest places together hold every class in proportion.
    place = (rank + generator.random(len(sizes))[groups[order]]) / sizes[groups[order]]
    return np.sort(rows[order[np.argsort(place, kind="stable")[:limit]]])


def split_examples(
    settings: DataSettings,
    seed: int,
    *,
    labels: np.ndarray | None,
    count: int,
    parts: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    target: str | None = None,
    fold: int | None = None,
    place: str = "",
) -> tuple[dict[str, np.ndarray], str]:
    """Split examples, honouring parts that the source states.

    A stated training part without a validation or test part beside it gives these up by ``settings.split``'s shares.

    Args:
        settings: Shares, shuffling, folds.
        seed: Same seed, same split.
        labels: ``(count,)`` class numbers to stratify by.
        count: How many examples there are.
        parts: ``(count,)`` ``"train"``, ``"validation"`` or ``"test"`` as stated.
        groups: ``(count,)`` what must stay together.
        target: The class's name, for the description.
        fold: Which of ``settings.folds`` folds is the test split; stated parts then do not matter.
        place: What an error names.

    Returns:
        Positions by split, and how they were split, in words.
    """
    if fold is not None:
        shares = {"fractions": settings.split, "labels": labels, "groups": groups, "shuffle": settings.shuffle}
        split = fold_rows(count, settings.folds, seed=seed, place=place, **shares)[fold]
        return split, describe_split(
            target=target, group=settings.group, shuffle=settings.shuffle, folds=settings.folds
        )
    method = describe_split(target=target, group=settings.group, shuffle=settings.shuffle)
    if parts is None:
        split = split_rows(
            count, settings.split, labels=labels, groups=groups, shuffle=settings.shuffle, seed=seed, place=place
        )
        return split, method
    stated = {name: np.flatnonzero(parts == name) for name in SPLITS}
    missing = [name for name in SPLITS if not len(stated[name])]
    if "train" in missing:
        raise DataError("the source has no training part", place=place, remedy="add one, or name the folder of classes")
    if not missing:
        return stated, "as the source is split"
    train = stated["train"]
    drawn = split_rows(
        len(train),
        settings.split,
        labels=None if labels is None else labels[train],
        shuffle=settings.shuffle,
        seed=seed,
        place=place,
    )
    for name in missing:
        stated[name] = train[drawn[name]]
    kept = [drawn[name] for name in SPLITS if name not in missing]
    stated["train"] = np.sort(train[np.concatenate(kept)])
    return stated, f"as the source is split, {' and '.join(missing)} taken from train {method}"


def count_example_duplicates(keys: Mapping[str, Iterable[Any]]) -> tuple[int, int]:
    """How often an example stands in the data again.

    Args:
        keys: For each split the examples' contents: bytes-like arrays or texts.

    Returns:
        How many examples equal an earlier one, and how many outside training equal a training one.
    """
    hashed = {name: [_digest(key) for key in values] for name, values in keys.items()}
    everything = [key for values in hashed.values() for key in values]
    training = set(hashed.get("train", ()))
    across = sum(key in training for name, values in hashed.items() if name != "train" for key in values)
    return len(everything) - len(set(everything)), across


def _digest(key: Any) -> bytes:
    return hashlib.blake2b(key.encode() if isinstance(key, str) else key, digest_size=16).digest()


def sample_rows(count: int, seed: int) -> np.ndarray:
    """A few positions among ``count`` examples, to show to a person."""
    return np.random.default_rng(seed).permutation(count)[:_SAMPLES]


def plain_column(
    name: str, kind: ColumnKind, role: ColumnRole, treatment: tuple[str, ...], *, missing: int = 0, distinct: int = 0
) -> ColumnReport:
    """The report of a column that has no figures of its own."""
    return ColumnReport(
        name=name,
        kind=kind,
        role=role,
        missing=missing,
        distinct=distinct,
        treatment=treatment,
        note="",
        mean=None,
        std=None,
        low=None,
        median=None,
        high=None,
        histogram=None,
        edges=None,
        top_values=(),
        top_counts=(),
    )


def class_column(name: str, codes: np.ndarray, classes: tuple[str, ...], missing: int) -> ColumnReport:
    """The report of the classes."""
    counts = np.bincount(codes, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    treatment = (f"numbered 0…{len(classes) - 1}: {', '.join(classes[:_MOST_VALUES])}",)
    plain = plain_column(name, "category", "target", treatment, missing=missing, distinct=int((counts > 0).sum()))
    top = {"top_values": tuple(classes[i] for i in order), "top_counts": tuple(int(counts[i]) for i in order)}
    return ColumnReport(**{**plain.__dict__, **top})


def number_column(
    name: str, role: ColumnRole, values: np.ndarray, treatment: tuple[str, ...], *, missing: int = 0
) -> ColumnReport:
    """The report of a column of numbers, with its histogram; missing ones among them are passed over."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=_BINS)
    plain = plain_column(name, "number", role, treatment, missing=missing, distinct=len(np.unique(finite)))
    figures = {
        "mean": float(finite.mean()),
        "std": float(finite.std()),
        "low": float(finite.min()),
        "median": float(np.median(finite)),
        "high": float(finite.max()),
        "histogram": counts.astype(np.int64),
        "edges": edges,
    }
    return ColumnReport(**{**plain.__dict__, **figures})
