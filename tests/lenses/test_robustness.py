"""Attacks against closed forms of linear classifiers, against two libraries, and against exact distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from pellucid.core.attacks import deepfool, fast_gradient_sign, projected_descent
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.robustness import measure_robustness
from pellucid.results.base import Result
from pellucid.results.robustness import Robustness


def trained(seed: int = 0) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network that has learnt three blobs in eight dimensions, between 0 and 1."""
    torch.manual_seed(seed)
    centres = torch.rand(3, 8)
    y = torch.arange(120) % 3
    x = (centres[y] + 0.12 * torch.randn(120, 8)).clamp(0, 1)
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x, y


def linear(seed: int = 0) -> tuple[nn.Linear, Tensor, Tensor]:
    torch.manual_seed(seed)
    model = nn.Linear(6, 2).double()
    x = torch.randn(200, 6, dtype=torch.float64)
    return model, x, model(x).argmax(1)


def test_of_two_linear_classes_every_attack_counts_exactly() -> None:
    """The gap g closes by ε‖w‖₁ at worst in L∞, by ε‖w‖₂ in L2: nothing is left to chance."""
    model, x, y = linear()
    y[:10] = 1 - y[:10]  # wrong undisturbed
    w = (model.weight[0] - model.weight[1]).detach()
    gap = (model(x) @ torch.tensor([1.0, -1.0]).double()).detach().abs()
    right = model(x).argmax(1) == y
    linf, l2 = [0.05, 0.2, 0.5], [0.1, 0.4, 1.0]
    found = measure_robustness(model, [(x[:70], y[:70]), (x[70:], y[70:])], noise=[], linf=linf, l2=l2)
    exact = {
        "fgsm": [int((right & (gap > e * w.abs().sum())).sum()) for e in linf],
        "pgd_linf": [int((right & (gap > e * w.abs().sum())).sum()) for e in linf],
        "pgd_l2": [int((right & (gap > e * w.norm())).sum()) for e in l2],
        "deepfool": [int((right & (1.02 * gap > e * w.norm())).sum()) for e in l2],
    }
    for name, counts in exact.items():
        assert found[name].correct.tolist() == counts, name
    assert found.correct == 190
    assert found.distance[right.numpy()] == pytest.approx((1.02 * gap / w.norm())[right].numpy(), rel=1e-4, abs=3e-6)
    assert (found.distance[~right.numpy()] == 0).all()


def test_noise_keeps_what_the_normal_law_keeps() -> None:
    model, x, y = linear()
    x, y = x.repeat(20, 1), y.repeat(20)
    w = (model.weight[0] - model.weight[1]).detach()
    gap = (model(x) @ torch.tensor([1.0, -1.0]).double()).detach().abs()
    found = measure_robustness(model, (x, y), noise=[0.3, 1.0], attacks=(), most=4000)
    expected = [norm.cdf((gap / (s * w.norm())).numpy()).mean() for s in (0.3, 1.0)]
    assert found["noise"].accuracy == pytest.approx(expected, abs=4 * 0.5 / 4000**0.5)


def test_intervals_are_clopper_and_pearsons() -> None:
    model, x, y = linear()
    y[:3] = 1 - y[:3]
    found = measure_robustness(model, (x, y), noise=[0.5, 50.0], linf=[9.0], l2=[], attacks=("fgsm",))
    for curve in found.curves:
        for count, low, high in zip(curve.correct, curve.low, curve.high, strict=True):
            exact = binomtest(int(count), 200).proportion_ci(method="exact")
            assert (low, high) == pytest.approx((exact.low, exact.high))
    assert found["fgsm"].correct.tolist() == [0]
    assert found["fgsm"].low.tolist() == [0]


def test_attacks_are_those_of_foolbox() -> None:
    foolbox = pytest.importorskip("foolbox")
    model, x, y = trained()
    theirs = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    for size in (0.02, 0.1):
        _, moved, _ = foolbox.attacks.LinfFastGradientAttack(random_start=False)(theirs, x, y, epsilons=size)
        assert torch.allclose(fast_gradient_sign(model, x, y, size, (0, 1)), moved, atol=1e-6)
        for kind, name in (("linf", "LinfProjectedGradientDescentAttack"), ("l2", "L2ProjectedGradientDescentAttack")):
            radius = size if kind == "linf" else 3 * size
            attack = getattr(foolbox.attacks, name)(abs_stepsize=radius / 4, steps=15, random_start=False)
            _, moved, fooled = attack(theirs, x, y, epsilons=radius)
            mine, lost = projected_descent(model, x, y, radius, norm=kind, steps=15, step=radius / 4, bounds=(0, 1))
            assert lost.sum() >= fooled.sum(), "ours keeps the first success of the same steps"
            stays = ~lost
            assert torch.allclose(mine[stays], moved[stays], atol=2e-4)
            assert not bool((fooled & stays).any())


def test_deepfool_is_that_of_the_adversarial_robustness_toolbox() -> None:
    evasion = pytest.importorskip("art.attacks.evasion")
    estimators = pytest.importorskip("art.estimators.classification")
    model, x, _ = trained()
    wrapped = estimators.PyTorchClassifier(model, nn.CrossEntropyLoss(), (8,), 3, clip_values=(0, 1), device_type="cpu")
    attack = evasion.DeepFool(wrapped, max_iter=50, epsilon=0.02, nb_grads=3, verbose=False)
    theirs = torch.from_numpy(attack.generate(x.numpy()))
    mine, changed = deepfool(model, x, bounds=(0, 1))
    assert bool(changed.all())
    ratio = (mine - x).norm(dim=1) / (theirs - x).norm(dim=1)
    assert float(ratio.median()) == pytest.approx(1, abs=0.05)


def test_deepfool_changes_every_decision_and_no_shorter_than_the_slice_allows() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    x = torch.rand(50, 2, dtype=torch.float64) * 4 - 2
    moved, changed = deepfool(model, x, candidates=3)
    assert (model(moved).argmax(1) != model(x).argmax(1))[changed].all()
    angles = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    for i in torch.nonzero(changed).flatten()[:15]:
        length = (moved[i] - x[i]).norm()
        inner = torch.linspace(0.02, 1, 50, dtype=torch.float64)[:, None, None] * length * circle
        other = model((x[i] + inner).reshape(-1, 2)).argmax(1) != model(x[i]).argmax(0)
        assert bool(other.any()), "somewhere inside this radius the decision changes: the length is an upper bound"


def test_pgd_stays_in_its_ball_and_in_the_range() -> None:
    model, x, y = trained()
    for kind, length in (("linf", lambda d: d.abs().amax(1)), ("l2", lambda d: d.norm(dim=1))):
        moved, fooled = projected_descent(
            model, x, y, 0.3, norm=kind, bounds=(0, 1), generator=torch.Generator().manual_seed(0)
        )
        assert float(length(moved - x).max()) <= 0.3 + 1e-5
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert torch.equal(model(moved).argmax(1) != y, fooled)


def test_more_starts_and_larger_balls_never_save_an_example() -> None:
    model, x, y = trained()
    sizes = [0.05, 0.1, 0.2, 0.4]
    one, three = (
        measure_robustness(model, (x, y), noise=[], linf=sizes, l2=[], bounds=(0, 1), starts=n, attacks=("pgd_linf",))
        for n in (1, 3)
    )
    assert (np.diff(one["pgd_linf"].correct) <= 0).all()
    assert (three["pgd_linf"].correct <= one["pgd_linf"].correct).all()
    assert three["pgd_linf"].correct[-1] < 60


def test_a_network_that_is_sure_still_has_a_gradient() -> None:
    """Confidence 1 in float32: the loss's gradient would be exactly 0 there."""
    model, x, y = linear()
    model = model.float()
    with torch.no_grad():
        model.weight *= 200
        model.bias *= 200
    found = measure_robustness(model, (x.float(), y), noise=[], linf=[5.0], l2=[], attacks=("fgsm",))
    assert found["fgsm"].correct.tolist() == [0]


def test_the_model_is_left_as_it_was_and_the_result_is_saved(tmp_path) -> None:
    model, x, y = trained()
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for one in model.parameters():
        one.grad = None
    found = measure_robustness(model, (x, y), most=40, split="test", slice_distance=np.full(120, 0.5))
    assert model.training
    assert all(one.grad is None for one in model.parameters())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    again = Result.load(found.save(tmp_path / "r.bin"))
    assert isinstance(again, Robustness)
    assert again.examples == 40
    assert again.distance_ratio == pytest.approx(np.median(found.distance[found.distance > 0]) / 0.5)
    same = measure_robustness(model, (x, y), most=40)
    assert [c.correct.tolist() for c in same.curves] == [c.correct.tolist() for c in found.curves]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attacks": ("mystery",)}, "no attack"),
        ({"bounds": (1, 0)}, "no range"),
        ({"steps": 0}, "below 1"),
        ({"linf": [0.2, 0.1]}, "rising"),
        ({"l2": [-1.0]}, "rising"),
        ({"slice_distance": [1.0]}, "distances"),
        ({"loader": (torch.randint(3, (5, 6)), torch.zeros(5))}, "real numbers"),
        ({"loader": (torch.full((5, 6), float("inf")), torch.zeros(5))}, "not finite"),
        ({"loader": (torch.randn(5, 6).double(), torch.full((5,), 2))}, "label 2"),
        ({"loader": (torch.randn(5, 6).double(), torch.full((5,), 0.5))}, "class numbers"),
        ({"model": nn.Linear(6, 1).double()}, "two classes"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict, words: str) -> None:
    model, x, y = linear()
    with pytest.raises((DataError, SettingsError), match=words) as caught:
        measure_robustness(**({"model": model, "loader": (x, y)} | change))
    assert caught.value.remedy


def test_a_constant_network_cannot_be_fooled_and_that_is_said() -> None:
    model = nn.Linear(6, 3)
    nn.init.zeros_(model.weight)
    found = measure_robustness(model, (torch.zeros(9, 6), torch.full((9,), int(model.bias.argmax()))))
    assert np.isinf(found.distance).all()
    assert all((curve.correct == 9).all() for curve in found.curves)
    with pytest.raises(SettingsError, match="no curve"):
        found["nothing"]
