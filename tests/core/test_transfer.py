"""Numbers arrive in order, whatever their types."""

import torch

from pellucid.core.transfer import Transfer, fetch


def test_fetch_keeps_order_and_shape_of_each():
    assert fetch([torch.arange(3), torch.tensor(2.5), torch.zeros(0)]) == [[0.0, 1.0, 2.0], [2.5], []]
    assert fetch([]) == []


def test_what_was_sent_is_what_arrives():
    one, other = torch.tensor([1.0, 2.0]), torch.tensor(3, dtype=torch.int64)
    transfer = Transfer([one, other, one])
    one += 1
    assert transfer.is_ready
    assert transfer.numbers() == [[1.0, 2.0], [3.0], [1.0, 2.0]]


def test_entries_of_tensors_that_are_nowhere_are_no_numbers():
    nowhere, here = fetch([torch.ones(2, device="meta"), torch.ones(1)])
    assert torch.tensor(nowhere).isnan().tolist() == [True, True]
    assert here == [1.0]
