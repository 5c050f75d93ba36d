"""Loaders of every kind are read alike, and what is none is refused with a remedy."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pellucid.data.batches_of import batches_of, whole_of
from pellucid.errors import DataError

X, Y = torch.arange(20.0).reshape(10, 2), torch.arange(10)


@pytest.mark.parametrize(
    "loader",
    [
        (X, Y),
        [X, Y],
        (X.numpy(), Y.numpy()),
        [(X[:3], Y[:3]), (X[3:], Y[3:])],
        ((X[:3], Y[:3]), (X[3:], Y[3:])),
        DataLoader(TensorDataset(X, Y), batch_size=4),
    ],
)
@pytest.mark.parametrize("size", [None, 1, 3, 100])
def test_every_form_gives_the_same_examples(loader, size):
    for _ in range(2):
        batches = list(batches_of(loader, size=size))
        assert torch.equal(torch.cat([x for x, _ in batches]), X)
        assert torch.equal(torch.cat([y for _, y in batches]), Y)
        assert size is None or max(len(x) for x, _ in batches) <= size
    x, y = whole_of(loader)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


def test_a_pair_of_tensors_is_not_copied():
    x, _ = whole_of((X, Y))
    assert x.data_ptr() == X.data_ptr()


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (iter([(X, Y)]), "once only"),
        (((X, Y) for _ in range(1)), "once only"),
        ([], "no examples"),
        ((X[:0], Y[:0]), "no examples"),
        (X, "no targets"),
        (np.zeros((2, 2)), "no targets"),
        (3, "int is no loader"),
        ([X, X, X], "not a pair"),
        ([{"x": X}], "dict"),
        ((X, Y[:3]), "do not go with"),
        ((X, torch.tensor(1.0)), "do not go with"),
    ],
)
def test_what_is_no_loader_is_refused(loader, words):
    with pytest.raises(DataError, match=words) as caught:
        list(batches_of(loader))
    assert caught.value.place
    assert caught.value.remedy


def test_batches_of_different_shapes_cannot_be_joined():
    with pytest.raises(DataError, match="cannot be joined"):
        whole_of([(X, Y), (torch.zeros(10, 3), Y)])
