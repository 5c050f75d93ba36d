"""The proof of the trace on models nobody here wrote, as the table of docs/trace_zoo.md.

python benchmarks/trace_zoo.py [--write] [--seeds 3]

The models are those of tests/zoo: random weights, training mode, nothing downloaded. Those of the transformers library
are skipped where it is not installed, and then the page is not written.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pellucid
from pellucid.lenses.trace import Trace

DRAWS_NOTHING = ("dropout", "scaled_dot_product_attention", "lstm", "gru")
"""Operations that may draw numbers, and draw none in evaluation mode."""

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "trace_zoo.md"
BEGIN, END = "<!-- measured -->", "<!-- end -->"


@dataclass
class Row:
    """One model's figures, the worst over its seeds."""

    name: str
    steps: int = 0
    opaque: int = 0
    names: tuple[str, ...] = ()
    replayed: int = 0
    equal: int = 0
    forward: float = 0.0
    backward: float = 0.0
    ratio: float = 0.0
    chain: float = math.nan
    autograd: float = math.nan
    differences: int = 0
    agreed: int = 0
    checks: int = 0
    wrong: int = 0


def ulps(error: float, tensor: Tensor) -> float:
    """An error in units of the last place of a tensor's largest entry."""
    if not error:
        return 0.0
    size = tensor.detach().abs()
    largest = float(size[size.isfinite()].max())
    unit = torch.finfo(tensor.dtype).eps * 2.0 ** math.floor(math.log2(largest)) if largest else math.inf
    return error / unit


def trace_of(case: Any, seed: int) -> Trace:
    torch.manual_seed(seed)
    return pellucid.trace(case.model, *case.inputs, keywords=case.keywords, target=case.target, loss=case.loss)


def measure(name: str, build: Any, seeds: int) -> Row:
    """The figures of one model."""
    row = Row(name)
    for seed in range(seeds):
        torch.manual_seed(seed)
        case = build()
        trace = trace_of(case, seed)
        check = trace.check(differences=10_000)
        tape = trace.tape
        row.steps, row.opaque, row.names = check.steps, check.opaque_steps, check.opaque
        forward = [item for item in check.checks if item.oracle == "forward replay" and not math.isnan(item.error)]
        row.replayed += len(forward)
        row.equal += sum(item.verdict == "bit-equal" for item in forward)
        for item in check.checks:
            row.checks += 1
            row.wrong += item.verdict == "disagrees"
            if math.isnan(item.error):
                continue
            if item.oracle == "central differences":
                row.differences += 1
                row.agreed += item.verdict != "disagrees"
                continue
            if item.error:
                row.ratio = max(row.ratio, item.error / item.bound if item.bound else math.inf)
        for item in forward:
            if item.error:
                row.forward = max(row.forward, *(ulps(item.error, out) for out in _floats(tape, item.step)))
        row.backward = max(row.backward, worst_backward(trace))
        case.model.eval()
        ours, theirs = chain_errors(trace_of(case, seed))
        row.chain = max(row.chain, ours) if row.chain == row.chain else ours
        row.autograd = max(row.autograd, theirs) if row.autograd == row.autograd else theirs
    return row


def _floats(tape: Any, step: int) -> list[Tensor]:
    made = [tape.read(value) for value in tape.steps[step].outputs]
    return [tensor for tensor in made if tensor.is_floating_point()]


def worst_backward(trace: Trace) -> float:
    """The largest error of a step's shares summed over the readers, in ulps of the gradient's largest entry."""
    worst = 0.0
    sums = summed(trace, chained=False)
    followed = [value for value in trace.tape.values if value.gradient is not None and value.id in sums]
    largest = max(float(value.gradient.abs().max()) for value in followed if value.gradient is not None)
    for value in followed:
        gradient = value.gradient
        assert gradient is not None
        if float(gradient.abs().max()) > 1e-6 * largest:
            error = float((sums[value.id].double() - gradient.double()).abs().max())
            worst = max(worst, ulps(error, gradient))
    return worst


def summed(trace: Trace, *, chained: bool) -> dict[int, Tensor]:
    """Every value's gradient by our rules: from autograd's gradients step by step, or from our own throughout."""
    tape, found = trace.tape, {}
    assert tape.loss is not None
    hidden: set[int] = set()
    if chained:
        found[tape.loss.id] = torch.ones(())
    for step in reversed(tape.steps):
        call = trace.calls.of(step.index)
        outs = [found.get(out.id) if chained else out.gradient for out in step.outputs]
        if step.identity or not step.grad_enabled or all(one is None for one in outs):
            continue
        if any(out.id in hidden for out in step.outputs) or call.rule is None:
            hidden.update(value.id for value in call.addresses.values())
            hidden.update(value.id for value in step.inputs)
            continue
        if not call.rule.differentiable:
            continue
        for address, share in call.rule.backward(call.arguments, call.outputs, outs).items():
            value = call.addresses.get(address)
            if value is not None and value.requires_grad:
                found[value.id] = found[value.id] + share if value.id in found else share
    return {key: tensor for key, tensor in found.items() if key not in hidden}


def chain_errors(trace: Trace) -> tuple[float, float]:
    """The relative errors of our whole backward pass and of autograd's, against autograd in float64."""
    exact = exact_gradients(trace)
    if exact is None:
        return math.nan, math.nan
    ours = summed(trace, chained=True)
    largest = max(float(gradient.norm()) for gradient in exact.values())
    errors = [0.0, 0.0]
    for name, gradient in exact.items():
        value = trace.tape.parameters[name]
        if value.id not in ours or value.gradient is None:
            return math.nan, math.nan
        scale = float(gradient.norm())
        scale = scale if scale > 1e-6 * largest else largest
        for place, found in enumerate((ours[value.id], value.gradient)):
            errors[place] = max(errors[place], float((found.double() - gradient).norm()) / scale)
    return errors[0], errors[1]


def exact_gradients(trace: Trace) -> dict[str, Tensor] | None:
    """Autograd's gradients of the recorded operations on the same numbers in float64, the draws as they were."""
    tape = trace.tape
    wide: dict[int, Tensor] = {}
    leaves: dict[str, Tensor] = {}
    for value in tape.values:
        if value.producer is None or value.output < 0:
            tensor = tape.read(value).detach()
            wide[value.id] = tensor.double() if tensor.dtype == torch.float32 else tensor
            if value.name in tape.parameters and tape.parameters[value.name] is value and value.gradient is not None:
                leaves[value.name] = wide[value.id] = wide[value.id].clone().requires_grad_()
    for step in tape.steps:
        call = trace.calls.of(step.index)
        if step.identity:
            continue
        if step.callable is None or call.rule is None or step.autocast is not None:
            return None
        try:
            made = run_wide(call, wide)
        except (RuntimeError, TypeError, ValueError, KeyError) as error:
            print(f"  no float64 pass: {step}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
            return None
        for out, tensor in zip(step.outputs, made, strict=False):
            wide[out.id] = tensor
    assert tape.loss is not None
    gradients = torch.autograd.grad(wide[tape.loss.id], list(leaves.values()), allow_unused=True)
    return {name: one for name, one in zip(leaves, gradients, strict=True) if one is not None}


def run_wide(call: Any, wide: dict[int, Tensor]) -> list[Tensor]:
    """One step in float64; what it drew, it draws as it did in float32."""
    from pellucid.lenses.trace_calls import substitute

    step = call.step
    if step.rng_state is not None:
        if any(value.requires_grad for value in step.outputs) and step.op not in DRAWS_NOTHING:
            raise ValueError("it draws numbers")
        if step.op not in DRAWS_NOTHING:
            return [one.double() if one.dtype == torch.float32 else one for one in map(call.tape.read, step.outputs)]
    written = {old.id for old, _ in step.written}

    def read(value: Any) -> Tensor:
        return wide[value.id].clone() if value.id in written else wide[value.id]

    keywords = {
        key: torch.float64 if item is torch.float32 else item for key, item in step.keywords.items() if key != "out"
    }
    given = tuple(torch.float64 if item is torch.float32 else item for item in step.given)
    with torch.set_grad_enabled(step.grad_enabled):
        if step.in_place:
            target, *others = substitute(given, read)
            step.callable(target, *others, **substitute(keywords, read))
            return [target]
        made = step.callable(*substitute(given, read), **substitute(keywords, read))
    return [made] if isinstance(made, Tensor) else [one for one in made if isinstance(one, Tensor)]


def line(row: Row) -> str:
    """One row of the table."""
    shown = 100 * (row.steps - row.opaque) / row.steps
    chain = "–" if row.chain != row.chain else f"{row.chain:.0e}"
    autograd = "–" if row.autograd != row.autograd else f"{row.autograd:.0e}"
    return (
        f"| {row.name} | {row.steps} | {shown:.1f} % | {100 * row.equal / max(row.replayed, 1):.0f} % "
        f"| {row.forward:.1f} ulp | {row.backward:.1f} ulp | {row.ratio:.2f} | {chain} | {autograd} "
        f"| {row.agreed} of {row.differences} "
        f"| {', '.join(row.names) or '–'} |"
    )


def main() -> None:
    """Trace every model and print the table; with --write, the page."""
    from tests.zoo import of_torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/trace_zoo.md")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    builders = dict(of_torch.BUILDERS)
    version = ""
    if importlib.util.find_spec("transformers") is not None:
        import transformers
        from tests.zoo import of_transformers

        transformers.logging.set_verbosity_error()
        builders = {**of_transformers.BUILDERS, **builders}
        version = transformers.__version__
    else:
        print("transformers is not installed: its models are skipped")
    columns = (
        "model", "steps", "with a rule", "forward, equal", "forward, worst", "backward, worst", "error ÷ bound",
        "chain, ours", "chain, autograd's", "differences", "no rule",
    )  # fmt: skip
    table = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * 9 + "---|"]
    print("\n".join(table))
    rows = []
    for name, build in builders.items():
        if options.models and name not in options.models:
            continue
        rows.append(measure(name, build, options.seeds))
        table.append(line(rows[-1]))
        print(table[-1], flush=True)
    text = summary(rows, options.seeds, version)
    print(text)
    if options.write and version and not options.models:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n" + "\n".join(table) + f"\n{END}{after}")


def summary(rows: list[Row], seeds: int, version: str) -> str:
    """The whole in three sentences."""
    steps, opaque = sum(row.steps for row in rows), sum(row.opaque for row in rows)
    equal = 100 * sum(row.equal for row in rows) / sum(row.replayed for row in rows)
    checks, wrong = sum(row.checks for row in rows), sum(row.wrong for row in rows)
    shown = 100 * (steps - opaque) / steps
    return (
        f"PyTorch {torch.__version__}, transformers {version or 'not installed'}, {seeds} seeds. Of {steps} executed "
        f"operations {shown:.2f} % have a rule ({opaque} do not). {equal:.1f} % of the replayed steps are equal bit "
        f"for bit. Of {checks} comparisons {wrong} disagree."
    )


if __name__ == "__main__":
    main()
