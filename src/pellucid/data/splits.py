"""Which rows train, which validate, which test: stratified, by group or in order, the same for the same seed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from pellucid.errors import DataError, SettingsError

__all__ = ["MINIMUM_ROWS", "SPLITS", "check_enough", "describe_split", "fold_rows", "quantile_labels", "split_rows"]

SPLITS = ("train", "validation", "test")
MINIMUM_ROWS = 6
"""Fewer rows than this cannot be split into three parts that mean anything."""


def split_rows(
    rows: int,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    shuffle: bool = True,
    seed: int = 0,
    place: str = "",
) -> dict[str, np.ndarray]:
    """Split ``rows`` rows into training, validation and test.

    With ``labels`` each class gets its share of each part, rounded up or down; every class stands in the training
    part, so the only member of a class trains. With ``groups`` rows of one group stay together, and classes are
    balanced as far as groups allow. Without shuffling the parts follow each other in order, labels or not.
    No part is ever empty.

    Args:
        rows: How many rows there are.
        fractions: Shares of training, validation and test, each above 0, together 1.
        labels: ``(rows,)`` class numbers or names to stratify by.
        groups: ``(rows,)`` group names or numbers.
        shuffle: False keeps the order of the rows, for data ordered in time; only without ``groups``.
        seed: The same seed gives the same split.
        place: Where the rows come from, for messages.

    Returns:
        Sorted row numbers by ``"train"``, ``"validation"``, ``"test"``: disjoint, together all rows.

    Raises:
        DataError: there are fewer than six rows, or fewer than three groups.
        SettingsError: the fractions are no shares, or groups are to be split in order.
    """
    shares = _check_fractions(fractions)
    check_enough(rows, place=place)
    if groups is not None:
        if not shuffle:
            raise SettingsError(
                "rows cannot be split by group and in order at once",
                place="shuffle, group",
                remedy="leave out the group, or shuffle",
            )
        part = _split_groups(_numbered(groups), None if labels is None else _numbered(labels), shares, seed, place)
    elif shuffle:
        part = _split_classes(np.zeros(rows, np.int64) if labels is None else _numbered(labels), shares, seed)
    else:
        part = _split_ordered(rows, shares)
    return {name: np.flatnonzero(part == number) for number, name in enumerate(SPLITS)}


def fold_rows(
    rows: int,
    folds: int,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    shuffle: bool = True,
    seed: int = 0,
    place: str = "",
) -> list[dict[str, np.ndarray]]:
    """Split ``rows`` rows ``folds`` times, so that every row is a test row exactly once.

    The rows outside a fold are split again into training and validation in the ratio of ``fractions``. Without
    shuffling the folds chain forward in order instead: each fold trains on what lies before its test rows, and the
    first rows are never tested.

    Args:
        rows: How many rows there are.
        folds: How many folds, at least 2.
        fractions: Only training and validation shares matter here, the test rows being the fold.
        labels: ``(rows,)`` class numbers or names to stratify by.
        groups: ``(rows,)`` group names or numbers that stay together.
        shuffle: False chains forward in order.
        seed: The same seed gives the same folds.
        place: Where the rows come from, for messages.

    Raises:
        DataError: there are too few rows or groups for so many folds.
        SettingsError: ``folds`` is below 2, or groups are to be split in order.
    """
    shares = _check_fractions(fractions)
    if folds < 2:
        raise SettingsError(f"{folds} folds are too few", place="folds", remedy="ask for 2 folds or more")
    if rows < max(2 * folds, MINIMUM_ROWS):
        raise DataError(f"{rows} rows are too few for {folds} folds", place=place, remedy="ask for fewer folds")
    if groups is not None and len(np.unique(_numbered(groups))) < max(folds, 3):
        raise DataError(f"there are fewer groups than {max(folds, 3)}", place=place, remedy="ask for fewer folds")
    share = shares[1] / (shares[0] + shares[1])
    parts = []
    pairs = _fold_indices(rows, folds, labels=labels, groups=groups, shuffle=shuffle, seed=seed)
    for number, (rest, test) in enumerate(pairs):
        validation = _validation_part(rest, share, labels=labels, groups=groups, shuffle=shuffle, seed=seed + number)
        parts.append({"train": np.sort(rest[~validation]), "validation": np.sort(rest[validation]), "test": test})
    return parts


def quantile_labels(values: np.ndarray, parts: int = 5) -> np.ndarray:
    """Which fifth of the values each one lies in, to stratify a quantity by.

    A small test split of a quantity drawn plainly at random can miss its upper or lower end, and its R² then says more
    about the draw than about the network.

    Args:
        values: ``(rows,)`` finite numbers.
        parts: How many quantile ranges; fewer come out where values repeat, or where rows are too few for them.

    Returns:
        ``(rows,)`` int64 numbers from 0, in the order of the values.

    >>> quantile_labels(np.array([1.0, 9.0, 4.0, 2.0, 7.0, 5.0, 3.0, 8.0, 6.0, 10.0, 11.0, 12.0]), parts=2).tolist()
    [0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1]
    """
    parts = max(1, min(parts, len(values) // MINIMUM_ROWS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1]))
    return np.digitize(values, edges, right=True)


def check_enough(rows: int, *, place: str) -> None:
    """Refuse fewer rows than can be split.

    Raises:
        DataError: there are fewer than six rows.
    """
    if rows < MINIMUM_ROWS:
        raise DataError(
            f"{rows} {'row is' if rows == 1 else 'rows are'} too few to train, validate and test on",
            place=place,
            remedy=f"give at least {MINIMUM_ROWS} rows",
        )


def describe_split(
    *,
    target: str | None = None,
    group: str | None = None,
    shuffle: bool = True,
    folds: int = 0,
    quantiles: bool = False,
) -> str:
    """How the rows were split, in words: ``"stratified by survived"``, ``"by group patient"``, ``"in order"``."""
    if not shuffle:
        method = "in order"
    elif group is not None:
        method = f"by group {group}"
    elif target is not None:
        method = f"stratified by {'quantiles of ' if quantiles else ''}{target}"
    else:
        method = "at random"
    return f"{method}, {folds} folds" if folds else method


def _check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Three positive shares that sum to one."""
    shares = tuple(float(share) for share in fractions)
    if len(shares) != 3 or not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise SettingsError(
            f"{shares} are no shares of training, validation and test",
            place="split",
            remedy="give three numbers above 0 that sum to 1, such as 0.7,0.15,0.15",
        )
    return shares[0], shares[1], shares[2]


def _numbered(values: np.ndarray) -> np.ndarray:
    """Values as numbers 0, 1, … by their sorted order."""
    values = np.asarray(values)
    if values.dtype == object:
        values = values.astype(str)
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _split_classes(labels: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """The part of each row, every class shared out by rounding its quotas up or down."""
    generator = np.random.default_rng(seed)
    members = [generator.permutation(np.flatnonzero(labels == label)) for label in range(int(labels.max()) + 1)]
    counts = _class_counts([len(rows) for rows in members], np.array(shares))
    part = np.empty(len(labels), np.int64)
    for rows, sizes in zip(members, counts, strict=True):
        part[rows] = np.repeat(np.arange(len(shares)), sizes)
    return part


def _class_counts(sizes: Sequence[int], shares: np.ndarray) -> np.ndarray:
    """``(classes, parts)`` sizes: quotas rounded so that what rounding takes from a part, later classes give back."""
    counts = np.zeros((len(sizes), len(shares)), np.int64)
    owed = np.zeros(len(shares))  # what each part has been short-changed so far
    for number, size in enumerate(sizes):
        quota = size * shares
        counts[number] = np.floor(quota + 1e-9)
        left = size - counts[number].sum()
        rest = quota - counts[number]
        # One extra at most for each part, and none where the quota is whole: no part is off by one or more.
        order = np.argsort(np.where(rest > 1e-9, -(owed + rest), np.inf), kind="stable")
        if counts[number, 0] == 0:
            order = np.concatenate([[0], order[order != 0]])
        counts[number, order[:left]] += 1
        owed += quota - counts[number]
    for part in range(1, len(shares)):
        if counts[:, part].sum() == 0:
            donor = int(np.argmax(counts[:, 0]))
            counts[donor, 0] -= 1
            counts[donor, part] += 1
    return counts


def _split_groups(
    groups: np.ndarray, labels: np.ndarray | None, shares: tuple[float, float, float], seed: int, place: str
) -> np.ndarray:
    """The part of each row, whole groups going, largest first, to the part that lacks most of their classes."""
    amount = int(groups.max()) + 1
    if amount < 3:
        raise DataError(
            f"{amount} {'group' if amount == 1 else 'groups'} cannot be split into training, validation and test",
            place=place,
            remedy="give at least three groups, or split without groups",
        )
    labels = np.zeros(len(groups), np.int64) if labels is None else labels
    histogram = np.zeros((amount, int(labels.max()) + 1))
    np.add.at(histogram, (groups, labels), 1)
    totals = histogram.sum(axis=0)
    lacking = np.outer(shares, totals)
    order = np.random.default_rng(seed).permutation(amount)
    order = order[np.argsort(-histogram[order].sum(axis=1), kind="stable")]
    part_of_group = np.full(amount, -1)
    for done, group in enumerate(order):
        scores = (lacking * (histogram[group] / totals)).sum(axis=1)
        empty = [part for part in range(3) if part not in part_of_group]
        if amount - done <= len(empty):
            scores[[part for part in range(3) if part not in empty]] = -np.inf
        part = int(np.argmax(scores))
        part_of_group[group] = part
        lacking[part] -= histogram[group]
    return part_of_group[groups]


def _split_ordered(rows: int, shares: tuple[float, float, float]) -> np.ndarray:
    """The part of each row, in order, none empty."""
    test = max(1, round(rows * shares[2]))
    validation = max(1, round(rows * shares[1]))
    return np.repeat(np.arange(3), [rows - validation - test, validation, test])


def _fold_indices(
    rows: int, folds: int, *, labels: np.ndarray | None, groups: np.ndarray | None, shuffle: bool, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (rest, fold) by scikit-learn's splitters."""
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

    empty = np.zeros((rows, 1))
    target = np.zeros(rows, np.int64) if labels is None else _numbered(labels)
    if not shuffle:
        if groups is not None:
            raise SettingsError("rows cannot be split by group and in order at once", place="shuffle, group")
        return list(TimeSeriesSplit(folds).split(empty))
    if groups is not None:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    elif labels is not None and np.bincount(target).max() >= folds:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        splitter = KFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes rarer than the folds are reported by the data report
        return list(splitter.split(empty, target, None if groups is None else _numbered(groups)))


def _validation_part(
    rest: np.ndarray,
    share: float,
    *,
    labels: np.ndarray | None,
    groups: np.ndarray | None,
    shuffle: bool,
    seed: int,
) -> np.ndarray:
    """Which of the rows outside a fold validate, as a mask over ``rest``."""
    if not shuffle:
        mask = np.zeros(len(rest), bool)
        mask[len(rest) - max(1, round(len(rest) * share)) :] = True
        return mask
    if groups is not None:
        return _validation_groups(_numbered(np.asarray(groups)[rest]), share, seed)
    target = np.zeros(len(rest), np.int64) if labels is None else _numbered(np.asarray(labels)[rest])
    return _split_classes(target, (1 - share, share), seed) == 1


def _validation_groups(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A mask of whole groups, drawn until they hold the share of rows; at least one group, never all."""
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    held = np.cumsum(sizes[order])
    amount = int(np.argmin(np.abs(held - share * len(groups)))) + 1
    return np.isin(groups, order[: min(amount, len(sizes) - 1)])
