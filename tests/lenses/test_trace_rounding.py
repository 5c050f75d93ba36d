"""The check raises no alarm at plain rounding: against PyTorch's own float32, over many draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.lenses.trace import trace


class Scores(nn.Module):
    """The input as it is, times one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_confident_and_right_answer_is_no_disagreement(smoothing):
    """There the loss is ln(1 + small): float32 rounds it at 6e-8, however small it is."""
    generator = torch.Generator().manual_seed(0)
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    for seed in range(60):
        scores = torch.randn(1, 10, generator=generator)
        scores[0, 3] += 2 + seed / 6
        found = trace(Scores(), scores, target=torch.tensor([3]), loss=loss).check(differences=0)
        assert [check for check in found.checks if check.verdict == "disagrees"] == []


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
def test_an_update_is_rounded_no_more_than_it_may_be(kind, fused):
    for seed in range(12):
        torch.manual_seed(seed)
        layer = nn.Linear(64, 64)
        optimizer = kind(layer.parameters(), lr=10.0 ** -(seed % 4 + 1), weight_decay=0.01, fused=fused)
        for _ in range(seed % 3):
            optimizer.zero_grad()
            layer(torch.randn(4, 64)).square().mean().backward()
            optimizer.step()
        found = trace(
            layer, torch.randn(4, 64), target=torch.randn(4, 64), loss=functional.mse_loss, optimizer=optimizer
        ).check(differences=0)
        assert [check for check in found.checks if check.verdict == "disagrees"] == []


def test_a_wrong_loss_is_still_seen():
    from pellucid.core.rules.registry import find_rule
    from pellucid.lenses.trace_checking import compare

    scores, target = torch.tensor([[9.0, 0.0, -1.0]]), torch.tensor([0])
    rule = find_rule("cross_entropy")
    assert rule is not None
    arguments = {"input": scores, "target": target, "reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}
    expected = functional.cross_entropy(scores, target)
    verdict, error, bound, _ = compare(
        expected + 1e-5, expected, lambda index: rule.entry(arguments, (expected,), index, 0)
    )
    assert verdict == "disagrees"
    assert bound < 5e-6 < error
