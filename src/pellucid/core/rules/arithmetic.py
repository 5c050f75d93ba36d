"""Sums, products, quotients, powers and choices of two or three operands."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments
from pellucid.core.rules.elementary import power
from pellucid.core.rules.elementwise import Elementwise, Parts, Slopes, as_tensor

__all__ = [
    "RULES",
    "Add",
    "AddedProduct",
    "Atan2",
    "Divide",
    "FloorDivide",
    "Lerp",
    "LogAddExp",
    "LogProduct",
    "Multiply",
    "Power",
    "Remainder",
    "Subtract",
]


def _log(x: Any) -> Any:
    """The natural logarithm of a tensor or a number."""
    return torch.log(x) if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64).log()


class Add(Elementwise):
    """input + α · other; slopes 1 and α."""

    names = ("add",)
    signature = "input, other, *, alpha=1"
    formula = r"y=a+\alpha b"
    sign = 1

    @override
    def compute(self, args: Arguments) -> Any:
        alpha = self.sign * args.get("alpha", 1)
        other = args["other"]
        if alpha == -1:
            return args["input"] - other
        return args["input"] + (other if alpha == 1 else alpha * other)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": 1, "other": self.sign * args.get("alpha", 1)}

    @override
    def parts(self, args: Arguments) -> Parts:
        alpha = self.sign * args.get("alpha", 1)
        scaled = {"other": args["other"]} if alpha == 1 else {"alpha": float(alpha), "other": args["other"]}
        return [("input", {"input": args["input"]}), ("other", scaled)]


class Subtract(Add):
    """input − α · other; slopes 1 and −α."""

    names = ("sub",)
    formula = r"y=a-\alpha b"
    sign = -1

    @override
    def compute(self, args: Arguments) -> Any:
        if any(isinstance(v, Tensor) and v.dtype == torch.bool for v in (args["input"], args["other"])):
            return args["input"] + (-1 * args.get("alpha", 1)) * args["other"]
        return super().compute(args)


class Multiply(Elementwise):
    """input · other; the slope by each is the other."""

    names = ("mul",)
    signature = "input, other"
    formula = r"y=a\,b"
    slope_factor = {"input": "other", "other": "input"}  # noqa: RUF012 - a constant mapping

    @override
    def compute(self, args: Arguments) -> Any:
        return args["input"] * args["other"]

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": args["other"], "other": args["input"]}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [("input · other", {"input": args["input"], "other": args["other"]})]


class Divide(Elementwise):
    """input / other, rounded if asked; slopes 1/other and −input/other², or 0 when rounded."""

    names = ("div",)
    signature = "input, other, *, rounding_mode=None"
    formula = r"y=a/b"

    @override
    def compute(self, args: Arguments) -> Any:
        quotient = args["input"] / args["other"]
        mode = args.get("rounding_mode")
        return quotient if mode is None else torch.floor(quotient) if mode == "floor" else torch.trunc(quotient)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        if args.get("rounding_mode") is not None:
            return {"input": torch.zeros_like(output), "other": torch.zeros_like(output)}
        return {"input": 1 / args["other"], "other": -args["input"] / (args["other"] * args["other"])}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [("input / other", {"input": args["input"], "1/other": 1 / args["other"]})]

    @override
    def then(self, args: Arguments) -> str:
        return {None: "", "floor": r"\lfloor s\rfloor", "trunc": r"\operatorname{trunc}(s)"}[args.get("rounding_mode")]


class FloorDivide(Divide):
    """The quotient rounded down; no slope."""

    names = ("floor_divide",)
    signature = "input, other"
    formula = r"y=\lfloor a/b\rfloor"
    differentiable = False

    @override
    def compute(self, args: Arguments) -> Any:
        a, b = as_tensor(args["input"]), as_tensor(args["other"])
        return (a - torch.remainder(a, b)) / b if a.dtype.is_floating_point else torch.floor(a / b)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": torch.zeros_like(output), "other": torch.zeros_like(output)}

    @override
    def then(self, args: Arguments) -> str:
        return r"\lfloor s\rfloor"


class Remainder(Elementwise):
    """input − other · ⌊input / other⌋ (``fmod`` rounds towards zero); slopes 1 and −⌊input / other⌋."""

    names = ("remainder", "fmod")
    signature = "input, other"
    formula = r"y=a-b\lfloor a/b\rfloor"

    def __init__(self, name: str) -> None:
        self.names = (name,)

    @override
    def compute(self, args: Arguments) -> Any:
        a, b = as_tensor(args["input"]), as_tensor(args["other"])
        if self.names[0] == "fmod":
            size = torch.remainder(a.abs(), b.abs())
            return torch.where(a < 0, -size, size)
        size = torch.fmod(a, b)
        return torch.where((size != 0) & ((size < 0) != (b < 0)), size + b, size)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        quotient = (args["input"] - output) / args["other"]
        return {"input": 1, "other": -torch.round(torch.as_tensor(quotient))}

    @override
    def then(self, args: Arguments) -> str:
        return r"s\bmod b"


class Power(Elementwise):
    """input to the power of exponent; slopes p·aᵖ⁻¹ (0 where p = 0) and aᵖ·ln a."""

    names = ("pow", "float_power")
    signature = "input, exponent"
    formula = r"y=a^p"

    @override
    def compute(self, args: Arguments) -> Any:
        base, exponent = as_tensor(args["input"]), as_tensor(args["exponent"])
        whole = not base.dtype.is_floating_point and not exponent.dtype.is_floating_point
        value = power(base.to(torch.float64), exponent.to(torch.float64))
        return value.round() if whole else value

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        base, exponent = (torch.as_tensor(args[n], dtype=torch.float64) for n in ("input", "exponent"))
        by_base = torch.where(exponent == 0, 0.0, exponent * power(base, exponent - 1))
        by_exponent = torch.where((base == 0) & (exponent >= 0), 0.0, output * torch.log(base))
        return {"input": by_base, "exponent": by_exponent}

    @override
    def then(self, args: Arguments) -> str:
        return f"s^{{{float(args['exponent']):g}}}"


class Lerp(Elementwise):
    """A point between start and end: start + weight · (end − start)."""

    names = ("lerp",)
    signature = "input, end, weight"
    formula = r"y=a+w(b-a)"

    @override
    def compute(self, args: Arguments) -> Any:
        return args["input"] + args["weight"] * (args["end"] - args["input"])

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": 1 - args["weight"], "end": args["weight"], "weight": args["end"] - args["input"]}

    @override
    def parts(self, args: Arguments) -> Parts:
        weight = args["weight"]
        return [
            ("input", {"1-weight": 1 - weight, "input": args["input"]}),
            ("end", {"weight": weight, "end": args["end"]}),
        ]


class AddedProduct(Elementwise):
    """input + value · tensor1 · tensor2 (``addcmul``), or with the quotient (``addcdiv``)."""

    signature = "input, tensor1, tensor2, *, value=1"

    def __init__(self, name: str) -> None:
        self.names = (name,)
        self._divides = name == "addcdiv"
        self.formula = r"y=x+v\,a/b" if self._divides else r"y=x+v\,a\,b"

    @override
    def compute(self, args: Arguments) -> Any:
        a, b = args["tensor1"], args["tensor2"]
        return args["input"] + args["value"] * (a / b if self._divides else a * b)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        a, b, value = args["tensor1"], args["tensor2"], args["value"]
        if self._divides:
            return {"input": 1, "tensor1": value / b, "tensor2": -value * a / (b * b)}
        return {"input": 1, "tensor1": value * b, "tensor2": value * a}

    @override
    def parts(self, args: Arguments) -> Parts:
        second = ("1/tensor2", 1 / args["tensor2"]) if self._divides else ("tensor2", args["tensor2"])
        product = {"value": float(args["value"]), "tensor1": args["tensor1"], second[0]: second[1]}
        return [("input", {"input": args["input"]}), ("tensor1, tensor2", product)]


class Atan2(Elementwise):
    """The angle of the point (other, input); slopes b/(a²+b²) and −a/(a²+b²)."""

    names = ("atan2",)
    signature = "input, other"
    formula = r"y=\operatorname{atan2}(a,b)"

    @override
    def compute(self, args: Arguments) -> Any:
        return torch.complex(*torch.broadcast_tensors(args["other"], args["input"])).angle()

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        a, b = args["input"], args["other"]
        return {"input": b / (a * a + b * b), "other": -a / (a * a + b * b)}

    @override
    def then(self, args: Arguments) -> str:
        return rf"\operatorname{{atan2}}(s,{float(args['other']):g})"


class LogAddExp(Elementwise):
    """ln(eᵃ + eᵇ), taken at the larger one; the slopes are the two shares of the sum."""

    names = ("logaddexp",)
    signature = "input, other"
    formula = r"y=\ln(e^a+e^b)"

    @override
    def compute(self, args: Arguments) -> Any:
        a, b = args["input"], args["other"]
        return torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": torch.exp(args["input"] - output), "other": torch.exp(args["other"] - output)}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [(f"exp({name})", {f"exp({name})": torch.exp(args[name])}) for name in ("input", "other")]

    @override
    def then(self, args: Arguments) -> str:
        return r"\ln s"


class LogProduct(Elementwise):
    """input · ln(other), 0 where input is 0; slopes ln(other) and input/other."""

    names = ("xlogy",)
    signature = "input, other"
    formula = r"y=a\ln b"

    @override
    def compute(self, args: Arguments) -> Any:
        a, log = as_tensor(args["input"]), _log(args["other"])
        return torch.where((a == 0) & ~torch.isnan(log), 0.0, a * log)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        a = as_tensor(args["input"])
        log = _log(args["other"])
        by_first = torch.where((a == 0) & ~torch.as_tensor(torch.as_tensor(args["other"]) > 0), 0.0, log)
        return {"input": by_first, "other": a / args["other"]}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [("input · ln(other)", {"input": args["input"], "ln(other)": _log(args["other"])})]


RULES = (
    Add(),
    Subtract(),
    Multiply(),
    Divide(),
    FloorDivide(),
    Remainder("remainder"),
    Remainder("fmod"),
    Power(),
    Lerp(),
    AddedProduct("addcmul"),
    AddedProduct("addcdiv"),
    Atan2(),
    LogAddExp(),
    LogProduct(),
)
