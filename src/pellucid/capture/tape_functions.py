"""What the recorder has to know about a torch function before it runs: its name, and how it treats its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import torch

from pellucid.capture.tape_arguments import base_name, parameter_names
from pellucid.core.rules.registry import canonical_name, find_rule

__all__ = ["FunctionFacts", "describe_function"]

Treatment = Literal["pass", "record", "unroll", "decide", "backward"]

_TENSOR_GETTERS = {"data", "T", "mT", "H", "mH", "real", "imag", "grad"}

_PASSED = {
    *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "is_contiguous", "element_size"),
    *("is_floating_point", "is_complex", "is_signed", "is_set_to", "is_same_size", "get_device", "data_ptr", "storage"),
    *("untyped_storage", "type", "__len__", "__hash__", "__repr__", "__format__", "__dir__", "__deepcopy__", "apply_"),
    *("__reduce_ex__", "register_hook", "register_post_accumulate_grad_hook", "retain_grad", "requires_grad_"),
    *("share_memory_", "is_shared", "is_pinned", "is_neg", "is_conj", "is_inference", "result_type", "can_cast"),
    *("promote_types", "is_tensor", "_is_view", "has_names", "names", "dim_order", "is_nonzero", "allclose", "equal"),
    *(
        "get_gradient_edge",
        "_typed_storage",
        "is_storage",
        "broadcast_shapes",
        "_assert_async",
        "_assert",
        "manual_seed",
    ),
}
"""Functions that make no tensor, or change nothing in one: they run as they are."""

_DECISIONS = {
    "__bool__": "bool",
    "item": "item",
    "__int__": "int",
    "__float__": "float",
    "__complex__": "complex",
    "__index__": "index",
    "tolist": "tolist",
    "numpy": "numpy",
    "__array__": "numpy",
}

_LEAVES = {
    *("softmax", "log_softmax", "softmin", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "glu"),
    *("hardtanh", "hardswish", "hardsigmoid", "threshold", "tanhshrink", "softsign", "rrelu", "sigmoid", "tanh"),
    *("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"),
    *("embedding", "embedding_bag"),
    *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"),
    *("max_unpool1d", "max_unpool2d", "max_unpool3d", "fractional_max_pool2d", "fractional_max_pool3d"),
    *("interpolate", "pad", "fold", "unfold", "grid_sample", "affine_grid"),
    *("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy"),
    *("binary_cross_entropy_with_logits", "kl_div", "poisson_nll_loss", "gaussian_nll_loss", "hinge_embedding_loss"),
    *("margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss", "multi_margin_loss", "soft_margin_loss"),
    *("multilabel_margin_loss", "ctc_loss"),
    *("einsum", "split", "norm", "__rsub__", "__rpow__", "__rdiv__", "__rtruediv__", "__rmod__", "__rfloordiv__"),
    *("broadcast_tensors", "tensordot", "cdist", "meshgrid", "unflatten", "stft", "istft"),
}
"""Python functions of torch that people know by name: shown as one step. Any other is unrolled into what it calls."""

_RANDOM = {
    *("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_alpha_dropout"),
    *("native_dropout", "rrelu", "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
    *("bernoulli", "multinomial", "normal", "poisson", "binomial", "uniform", "exponential", "log_normal", "cauchy"),
    *("geometric", "random", "scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu"),
    *("fractional_max_pool2d", "fractional_max_pool3d", "_sample_dirichlet", "_standard_gamma", "_fused_dropout"),
}

_STATISTICS = {"batch_norm": ("running_mean", "running_var"), "instance_norm": ("running_mean", "running_var")}
"""Functions that write into arguments without raising the version that autograd keeps of them."""

_NOT_IN_PLACE = {"requires_grad_", "share_memory_", "retain_grad", "apply_"}


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """How the recorder treats a torch function.

    Attributes:
        treatment: Run as it is, record, unroll into the functions that it calls, or one of the special cases.
        op: The canonical name.
        name: The qualified name.
        writes_first: Whether its first argument is overwritten.
        flag: The position of its ``inplace`` parameter; -1 if it has none.
        random: Whether it may draw random numbers.
        statistics: The names of arguments that it overwrites on the side.
        body: For a function to unroll: the same function without its call of the recorder.
        kind: How a decision reads its tensor.
    """

    treatment: Treatment
    op: str
    name: str
    writes_first: bool = False
    flag: int = -1
    random: bool = False
    statistics: tuple[str, ...] = ()
    body: Any = None
    kind: str = ""


def describe_function(function: Any) -> FunctionFacts:
    """What the recorder has to know about a function; the same each time, so it may be kept."""
    name, op = base_name(function), canonical_name(function)
    qualified = _qualified_name(function)
    bare = getattr(function, "__name__", "")
    if bare == "__get__" and name not in _TENSOR_GETTERS:
        return FunctionFacts("pass", op, qualified)
    if bare == "__set__":
        return FunctionFacts("record" if name == "data" else "pass", "set_data", qualified, writes_first=True)
    if name in _DECISIONS:
        return FunctionFacts("decide", op, qualified, kind=_DECISIONS[name])
    if name == "backward" or name in _PASSED or name.startswith(("is_", "_assert", "_has_")):
        return FunctionFacts("backward" if name == "backward" else "pass", op, qualified)
    is_python = isinstance(function, FunctionType)
    rule = find_rule(function)
    if is_python and rule is None and name not in _LEAVES and op not in _LEAVES:
        return FunctionFacts("unroll", op, qualified, body=_without_dispatch(function))
    names = parameter_names(function) if is_python else ()
    return FunctionFacts(
        "record",
        op,
        qualified,
        writes_first=_writes_first(name),
        flag=names.index("inplace") if "inplace" in names else -1,
        random=op in _RANDOM or (rule is not None and rule.random),
        statistics=_STATISTICS.get(op, ()),
    )


def _writes_first(name: str) -> bool:
    """Whether torch's naming says that the first argument is overwritten."""
    if name == "__setitem__" or (
        name.startswith("__i") and name.endswith("__") and name not in ("__index__", "__int__", "__invert__")
    ):
        return True
    return name.endswith("_") and not name.endswith("__") and name not in _NOT_IN_PLACE


def _qualified_name(function: Any) -> str:
    """The name under which people know it: "torch.Tensor.add", "torch.nn.functional.linear"."""
    name = base_name(function)
    module = getattr(function, "__module__", None) or ""
    qualified = getattr(function, "__qualname__", name)
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return f"torch.ops.{str(function).replace('::', '.')}"
    if qualified.startswith(("TensorBase.", "Tensor.", "getset_descriptor.")) or "_tensor" in module:
        return f"torch.Tensor.{name}"
    if module in ("torch._C._nn", "torch.nn.functional"):
        return f"torch.nn.functional.{name}"
    if qualified.startswith("_VariableFunctionsClass.") or module == "torch.functional":
        return f"torch.{name}"
    return f"{module}.{name}" if module else name


def _without_dispatch(function: FunctionType) -> FunctionType:
    """A copy of a Python function of torch that does not call the recorder for itself, only for what it calls.

    torch's Python functions ask ``has_torch_function…`` first and hand themselves over. The copy answers no; the
    original is left as it is.
    """
    scope = {k: _never if k.startswith("has_torch_function") else v for k, v in function.__globals__.items()}
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _never(*_: Any) -> bool:
    """The answer to ``has_torch_function``."""
    return False
