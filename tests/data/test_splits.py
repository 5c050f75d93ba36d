"""Splits: disjoint, complete, stratified, grouped, in order, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.data.splits import MINIMUM_ROWS, SPLITS, describe_split, fold_rows, quantile_labels, split_rows
from pellucid.errors import DataError, SettingsError

FRACTIONS = st.sampled_from([(0.7, 0.15, 0.15), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.4, 0.3, 0.3)])


def assert_partition(split, rows):
    assert set(split) == set(SPLITS)
    together = np.concatenate([split[name] for name in SPLITS])
    assert sorted(together) == list(range(rows))
    for name in SPLITS:
        assert len(split[name]) > 0
        assert (np.diff(split[name]) > 0).all()


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8), fractions=FRACTIONS, seed=st.integers(0, 99))
def test_stratified_splits_give_each_class_its_share_within_one(sizes, fractions, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if len(labels) < MINIMUM_ROWS:
        return
    split = split_rows(len(labels), fractions, labels=labels, seed=seed)
    assert_partition(split, len(labels))
    smallest = min(len(rows) for rows in split.values())
    if smallest == 1:
        return  # a row may have moved so that no split is empty
    for number, name in enumerate(SPLITS):
        counts = np.bincount(labels[split[name]], minlength=len(sizes))
        assert np.abs(counts - np.array(sizes) * fractions[number]).max() < 1
        assert abs(len(split[name]) - len(labels) * fractions[number]) <= len(sizes)
    assert (np.bincount(labels[split["train"]], minlength=len(sizes)) > 0).all()


def test_a_class_of_one_trains():
    labels = np.array([0] * 40 + [1] * 40 + [2])
    split = split_rows(81, labels=labels)
    assert 2 in labels[split["train"]]
    assert 2 not in labels[np.concatenate([split["validation"], split["test"]])]


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 15), min_size=3, max_size=12),
    classes=st.integers(1, 3),
    seed=st.integers(0, 99),
    fractions=FRACTIONS,
)
def test_groups_never_straddle(sizes, classes, seed, fractions):
    groups = np.repeat([f"g{number}" for number in range(len(sizes))], sizes)
    generator = np.random.default_rng(seed)
    groups = generator.permutation(groups)
    labels = generator.integers(0, classes, len(groups))
    if len(groups) < MINIMUM_ROWS:
        return
    split = split_rows(len(groups), fractions, labels=labels, groups=groups, seed=seed)
    assert_partition(split, len(groups))
    parts = [set(groups[split[name]]) for name in SPLITS]
    assert sum(map(len, parts)) == len(set(groups))


def test_many_small_groups_are_shared_out_by_rows():
    groups = np.repeat(np.arange(200), 5)
    split = split_rows(1000, groups=groups, seed=3)
    assert [len(split[name]) for name in SPLITS] == [700, 150, 150]


def test_ordered_splits_follow_each_other():
    split = split_rows(100, shuffle=False)
    assert split["train"].tolist() == list(range(70))
    assert split["validation"].tolist() == list(range(70, 85))
    assert split["test"].tolist() == list(range(85, 100))


@settings(deadline=None)
@given(rows=st.integers(MINIMUM_ROWS, 60), shuffle=st.booleans())
def test_tiny_data_fill_every_split(rows, shuffle):
    assert_partition(split_rows(rows, shuffle=shuffle), rows)


def test_the_seed_decides():
    labels = np.arange(200) % 3
    first = split_rows(200, labels=labels, seed=1)
    again = split_rows(200, labels=labels, seed=1)
    other = split_rows(200, labels=labels, seed=2)
    assert all(np.array_equal(first[name], again[name]) for name in SPLITS)
    assert not np.array_equal(first["test"], other["test"])


@settings(deadline=None)
@given(
    rows=st.integers(20, 120),
    folds=st.integers(2, 5),
    kind=st.sampled_from(["plain", "labels", "groups", "both"]),
    seed=st.integers(0, 20),
)
def test_folds_test_every_row_once(rows, folds, kind, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, rows) if kind in ("labels", "both") else None
    groups = generator.permutation(np.arange(rows) % 9) if kind in ("groups", "both") else None
    parts = fold_rows(rows, folds, labels=labels, groups=groups, seed=seed)
    assert len(parts) == folds
    for part in parts:
        assert_partition(part, rows)
        if groups is not None:
            held = [set(groups[part[name]]) for name in SPLITS]
            assert sum(map(len, held)) == len(set(groups))
    assert sorted(np.concatenate([part["test"] for part in parts])) == list(range(rows))


def test_folds_are_stratified_within_one():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    for part in fold_rows(100, 5, labels=labels, seed=4):
        assert np.bincount(labels[part["test"]]).tolist() == [10, 6, 4]
        share = np.bincount(labels[part["validation"]]) / np.array([40, 24, 16])
        assert np.abs(share - 0.15 / 0.85).max() < 1 / 16


def test_ordered_folds_train_on_the_past():
    for part in fold_rows(60, 4, shuffle=False):
        assert part["train"].max() < part["validation"].min()
        assert part["validation"].max() < part["test"].min()


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.3, 0.0), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(SettingsError, match="no shares"):
        split_rows(100, fractions)


def test_too_little_is_refused():
    with pytest.raises(DataError, match="1 row is too few"):
        split_rows(1, place="a.csv")
    with pytest.raises(DataError, match="2 groups cannot be split"):
        split_rows(20, groups=np.arange(20) % 2)
    with pytest.raises(DataError, match="too few for 10 folds"):
        fold_rows(12, 10)
    with pytest.raises(DataError, match="fewer groups"):
        fold_rows(30, 5, groups=np.arange(30) % 4)
    with pytest.raises(SettingsError, match="folds"):
        fold_rows(30, 1)
    with pytest.raises(SettingsError, match="in order at once"):
        split_rows(30, groups=np.arange(30), shuffle=False)


def test_a_split_is_described_in_words():
    assert describe_split(target="survived") == "stratified by survived"
    assert describe_split(target="survived", group="patient", folds=5) == "by group patient, 5 folds"
    assert describe_split(shuffle=False) == "in order"
    assert describe_split() == "at random"


def test_quantities_are_stratified_by_quantile():
    values = np.random.default_rng(0).lognormal(size=500)
    labels = quantile_labels(values)
    assert np.bincount(labels).tolist() == [100] * 5
    assert all(values[labels == low].max() <= values[labels == low + 1].min() for low in range(4))
    split = split_rows(500, labels=labels, seed=3)
    shares = [np.bincount(labels[rows], minlength=5) / len(rows) for rows in split.values()]
    assert np.abs(np.array(shares) - 0.2).max() < 0.02
    assert np.ptp(quantile_labels(np.ones(50))) == 0
