"""What the watch knows of torch's functions by name: which make a loss, which only rearrange, which are the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pellucid.capture.tape_arguments import base_name

__all__ = [
    "EVEN",
    "LOGARITHMS",
    "LOSSES",
    "NETWORK",
    "REDUCTIONS",
    "VIEWS",
    "call_name",
    "is_in_place",
    "is_recorded",
]

_SYNONYMS = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "rtruediv": "rdiv",
    "subtract": "sub",
    "multiply": "mul",
    "rmul": "mul",
    "radd": "add",
    "negative": "neg",
    "absolute": "abs",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "special_expit": "sigmoid",
    "linalg_norm": "norm",
    "linalg_vector_norm": "norm",
    "vector_norm": "norm",
    "frobenius_norm": "norm",
    "rmatmul": "matmul",
    "special_log_softmax": "log_softmax",
    "special_softmax": "softmax",
}

_IN_PLACE_OPERATORS = {"iadd", "isub", "imul", "itruediv", "ipow", "imatmul", "iand", "ior"}

_GETTERS = {"data", "T", "mT", "H", "mH", "real", "imag"}

_UNRECORDED = {
    *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "is_contiguous", "element_size"),
    *("get_device", "data_ptr", "storage", "untyped_storage", "type", "len", "hash", "repr", "format", "dir"),
    *("deepcopy", "reduce_ex", "register_hook", "register_post_accumulate_grad_hook", "retain_grad", "typename"),
    *("result_type", "can_cast", "promote_types", "manual_seed", "broadcast_shapes", "storage_type", "iter"),
    *("record_function_enter_new", "record_function_exit", "has_names", "names", "dim_order", "is_shared", "is_pinned"),
    *("get_default_dtype", "set_grad_enabled", "get_gradient_edge", "is_tensor", "typed_storage", "is_storage"),
    *("setstate", "reduce", "new", "class", "dict", "contains"),
}

LOSSES: dict[str, tuple[str, str, str]] = {
    "cross_entropy": ("cross_entropy", "input", "target"),
    "nll_loss": ("nll", "input", "target"),
    "nll_loss2d": ("nll", "input", "target"),
    "binary_cross_entropy": ("bce", "input", "target"),
    "binary_cross_entropy_with_logits": ("bce_with_logits", "input", "target"),
    "mse_loss": ("mse", "input", "target"),
    "l1_loss": ("l1", "input", "target"),
    "smooth_l1_loss": ("smooth_l1", "input", "target"),
    "huber_loss": ("huber", "input", "target"),
    "kl_div": ("kl_div", "input", "target"),
    "poisson_nll_loss": ("poisson_nll", "input", "target"),
    "gaussian_nll_loss": ("gaussian_nll", "input", "target"),
    "hinge_embedding_loss": ("hinge_embedding", "input", "target"),
    "margin_ranking_loss": ("margin_ranking", "input1", "target"),
    "cosine_embedding_loss": ("cosine_embedding", "input1", "target"),
    "triplet_margin_loss": ("triplet_margin", "anchor", "positive"),
    "triplet_margin_with_distance_loss": ("triplet_margin", "anchor", "positive"),
    "multi_margin_loss": ("multi_margin", "input", "target"),
    "soft_margin_loss": ("soft_margin", "input", "target"),
    "multilabel_margin_loss": ("multilabel_margin", "input", "target"),
    "multilabel_soft_margin_loss": ("multilabel_soft_margin", "input", "target"),
    "ctc_loss": ("ctc", "log_probs", "targets"),
    "cosine_similarity": ("cosine_similarity", "x1", "x2"),
    "pairwise_distance": ("pairwise_distance", "x1", "x2"),
    "dist": ("pairwise_distance", "input", "other"),
}
"""torch's own loss functions: the kind, and the names of the arguments for the prediction and for the target."""

_CASTS = {
    *("float", "double", "half", "bfloat16", "to", "type_as", "long", "int", "bool", "clone", "contiguous", "cpu"),
    *("cuda", "detach", "data", "requires_grad", "alias", "type", "nan_to_num"),
}
"""Functions that keep every entry where it is and what it is."""

VIEWS = _CASTS | {
    *("view", "reshape", "squeeze", "unsqueeze", "flatten", "unflatten", "getitem", "T", "mT", "transpose", "permute"),
    *("expand", "expand_as", "view_as", "reshape_as", "narrow", "select", "movedim", "swapaxes", "swapdims", "t"),
    *("chunk", "split", "unbind", "ravel", "moveaxis", "repeat", "tile", "broadcast_to", "index_select", "stack"),
    *("cat", "masked_select", "atleast_1d", "atleast_2d", "roll", "flip", "diagonal", "real", "as_strided"),
}
"""Functions that only rearrange entries, or choose among them."""

REDUCTIONS = {"mean", "sum", "nanmean", "nansum", "trace"}

EVEN = {"square", "abs", "norm", "cosh", "cdist"}
"""Functions that forget the sign; ``pow`` with an even exponent and ``mul`` of a tensor by itself do too."""

LOGARITHMS = {"log", "log2", "log10", "log1p"}

NETWORK = {
    *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell"),
    *("rnn_relu_cell", "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "matmul", "mm", "bmm"),
    *("addmm", "baddbmm", "addmv", "mv", "einsum", "tensordot", "scaled_dot_product_attention", "max_pool1d"),
    *("multi_head_attention_forward", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d", "dropout"),
    *("adaptive_avg_pool1d", "interpolate", "pixel_shuffle", "fold", "unfold", "grid_sample", "prelu", "dot"),
}
"""Functions of which the network is made: what lies behind one of them is no part of the loss."""


def call_name(function: Callable[..., Any]) -> str:
    """One name for the operator, the method, the function and the in-place form.

    >>> import torch
    >>> [call_name(f) for f in (torch.Tensor.__rsub__, torch.Tensor.__iadd__, torch.relu_, torch.Tensor.__getitem__)]
    ['rsub', 'add', 'relu', 'getitem']
    """
    name = base_name(function).strip("_")
    if name in _IN_PLACE_OPERATORS:
        name = name[1:]
    return _SYNONYMS.get(name, name)


def is_in_place(function: Callable[..., Any]) -> bool:
    """Whether torch's naming says that the first argument is overwritten.

    >>> import torch
    >>> [is_in_place(f) for f in (torch.Tensor.add_, torch.Tensor.__iadd__, torch.Tensor.__setitem__, torch.add)]
    [True, True, True, False]
    """
    name = base_name(function)
    if getattr(function, "__name__", "") == "__set__":
        return True
    if name.startswith("__"):
        return name == "__setitem__" or name.strip("_") in _IN_PLACE_OPERATORS
    return name.endswith("_") and name != "requires_grad_"


def is_recorded(function: Callable[..., Any]) -> bool:
    """Whether a call of it says something about the training: it makes, changes or reads out a tensor.

    >>> import torch
    >>> is_recorded(torch.Tensor.size), is_recorded(torch.Tensor.item)
    (False, True)
    """
    bare = getattr(function, "__name__", "")
    name = base_name(function)
    if bare == "__get__":
        return name in _GETTERS
    if bare == "__set__":
        return name == "data"
    plain = name.strip("_")
    return plain not in _UNRECORDED and not plain.startswith(("is_", "assert", "has_", "foreach_"))
