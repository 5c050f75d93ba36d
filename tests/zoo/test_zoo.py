"""Models nobody here wrote: every step explained, replayed and differentiated by our rules, none of it disagreeing.

Oracles: torch's own numbers at every step, autograd's gradient of every value, central differences, and one plain
forward and backward pass of the same model with the same random draws.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable

import pytest
import torch

import pellucid
from pellucid.lenses.trace import Trace
from tests.capture.test_awkward import same
from tests.capture.zoo import Case
from tests.zoo.of_torch import BUILDERS

NAMES = list(BUILDERS)
if importlib.util.find_spec("transformers") is not None:
    from tests.zoo import of_transformers

    BUILDERS = BUILDERS | of_transformers.BUILDERS
TRANSFORMERS = (
    "ResNet", "ConvNeXt", "ViT", "BERT", "GPT-2", "T5", "Llama", "Mixtral", "Whisper encoder", "Mamba",
)  # fmt: skip

NO_RULE: dict[str, set[str]] = {}
"""What has no rule yet."""


def build(name: str) -> Case:
    if name in TRANSFORMERS:
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    return BUILDERS[name]()


def trace_of(case: Case, seed: int = 1) -> Trace:
    torch.manual_seed(seed)
    return pellucid.trace(case.model, *case.inputs, keywords=case.keywords, target=case.target, loss=case.loss)


def plain_loss(case: Case, seed: int = 1) -> torch.Tensor:
    """The loss as an ordinary training step computes it."""
    torch.manual_seed(seed)
    output = case.model(*case.inputs, **(case.keywords or {}))
    if isinstance(case.loss, str):
        return output[case.loss]
    losses = case.loss(output) if case.target is None else case.loss(output, case.target)
    return sum(losses.values()) if isinstance(losses, dict) else losses


def each(names: list[str] | tuple[str, ...]) -> Callable[..., None]:
    return pytest.mark.parametrize("name", names)  # type: ignore[return-value]


@each([*NAMES, *TRANSFORMERS])
def test_every_step_is_explained_and_nothing_disagrees(name: str) -> None:
    check = trace_of(build(name)).check(differences=40)
    wrong = [item for item in check.checks if item.verdict == "disagrees"]
    assert not wrong, wrong[:3]
    assert check.agrees
    assert set(check.opaque) <= NO_RULE.get(name, set())
    assert check.opaque_steps <= 0.03 * check.steps
    verdicts = Counter((item.oracle, item.verdict) for item in check.checks)
    compared = verdicts["central differences", "within bound"] + verdicts["central differences", "bit-equal"]
    assert compared >= 4
    assert sum(n for (_, verdict), n in verdicts.items() if verdict == "not comparable") <= 0.02 * len(check.checks)


@each([*NAMES, *TRANSFORMERS])
def test_the_loss_and_the_gradients_are_those_of_a_plain_pass(name: str) -> None:
    case = build(name)
    before = {key: item.clone() for key, item in case.model.state_dict().items()}
    trace = trace_of(case)
    assert all(same(before[key], item) for key, item in case.model.state_dict().items())
    loss = plain_loss(case)
    assert trace.loss.value == loss.item()
    named = {key: item for key, item in case.model.named_parameters() if item.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    for key, gradient in zip(named, gradients, strict=True):
        found = trace.tape.parameters[key].gradient
        assert (found is None) == (gradient is None), key
        if gradient is not None:
            assert found is not None
            scale = float(gradient.abs().max())
            torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-6 * scale)


@each([*NAMES, *TRANSFORMERS])
def test_in_evaluation_mode_too(name: str) -> None:
    case = build(name)
    case.model.eval()
    check = trace_of(case).check(differences=8)
    assert check.agrees
    assert set(check.opaque) <= NO_RULE.get(name, set())


@each([*NAMES, *TRANSFORMERS])
def test_what_a_memory_limit_dropped_is_computed_again_bit_for_bit(name: str) -> None:
    case = build(name)
    whole = trace_of(case).tape
    kept = sum(value.nbytes for value in whole.values if value.origin == "op")
    torch.manual_seed(1)
    tape = pellucid.trace(
        case.model, *case.inputs, keywords=case.keywords, target=case.target, loss=case.loss,
        memory_limit=int(0.3 * kept),
    ).tape  # fmt: skip
    assert any(value.tensor is None for value in tape.values)
    for found, expected in list(zip(tape.values, whole.values, strict=True))[:: 1 + len(tape.values) // 12]:
        if found.producer is not None and tape.steps[found.producer].op.startswith("empty"):
            continue  # unwritten memory holds anything
        assert same(tape.read(found), whole.read(expected)), found
        gradient = tape.read_gradient(found)
        assert (gradient is None or not gradient.any()) or expected.gradient is not None
        if gradient is not None and expected.gradient is not None:
            scale = float(expected.gradient.abs().max())
            torch.testing.assert_close(gradient, expected.gradient, rtol=1e-4, atol=1e-5 * scale + 1e-9)
