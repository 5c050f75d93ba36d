"""Pellucid's attacks and the Adversarial Robustness Toolbox's leave the same examples right."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from pellucid.errors import MissingExtraError
from pellucid.lenses.robustness import measure_robustness
from tests.lenses.test_robustness import trained


def test_the_toolbox_counts_the_same() -> None:
    pytest.importorskip("art.estimators.classification")
    from pellucid.integrations.attack_toolbox import check_robustness

    model, x, y = trained()
    model.train()
    found = measure_robustness(
        model, (x, y), noise=[0.1], linf=[0.02, 0.1, 0.2], l2=[0.06, 0.3, 0.6], bounds=(0, 1), most=100
    )
    checked = check_robustness(model, (x, y), found)
    assert len(checked.curves) == 9
    for name in ("fgsm", "pgd_linf", "pgd_l2", "deepfool"):
        ours, theirs = checked[name], checked[f"{name}_toolbox"]
        assert np.abs(ours.correct - theirs.correct).max() <= 2, name
        assert theirs.sizes.tolist() == ours.sizes.tolist()
    assert checked["fgsm_toolbox"].correct.tolist() == checked["fgsm"].correct.tolist()
    assert model.training
    assert all(one.grad is None for one in model.parameters())


def test_without_the_toolbox_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.integrations.attack_toolbox import check_robustness

    monkeypatch.setitem(sys.modules, "art.estimators.classification", None)
    model, x, y = trained()
    found = measure_robustness(model, (x, y), noise=[0.1], linf=[], l2=[], attacks=())
    with pytest.raises(MissingExtraError, match="Toolbox") as caught:
        check_robustness(model, (torch.as_tensor(x), y), found)
    assert "pellucid[attacks]" in caught.value.remedy
