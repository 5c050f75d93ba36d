"""Which operation fed which, in the learned steps: followed by the keys of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pellucid.results.watched_script import ScriptCall, TensorFacts

__all__ = ["CONTRACTIONS", "NONLINEAR", "VIEWS", "Wiring"]

VIEWS = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "squeeze",
        "squeeze_",
        "unsqueeze",
        "unsqueeze_",
        "permute",
        "transpose",
        "transpose_",
        "t",
        "T",
        "mT",
        "contiguous",
        "expand",
        "expand_as",
        "view_as",
        "reshape_as",
        "movedim",
        "swapaxes",
        "float",
        "double",
        "half",
        "bfloat16",
        "to",
        "type",
        "cpu",
        "cuda",
        "clone",
        "__getitem__",
        "getitem",
        "select",
        "narrow",
        "chunk",
        "split",
        "unbind",
        "detach",
        "data",
        "type_as",
        "requires_grad_",
        "cat",
        "stack",
        "long",
        "int",
    ]
)
"""Operations that move or relabel numbers without computing."""

CONTRACTIONS = frozenset(
    [
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "bilinear",
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "addbmm",
        "einsum",
        "mv",
        "tensordot",
    ]
)
"""Operations with weights that are linear in their input."""

NONLINEAR = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "prelu",
        "rrelu",
        "elu",
        "elu_",
        "selu",
        "selu_",
        "celu",
        "gelu",
        "silu",
        "silu_",
        "mish",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "hardshrink",
        "softshrink",
        "tanhshrink",
        "sigmoid",
        "sigmoid_",
        "tanh",
        "tanh_",
        "softplus",
        "softsign",
        "softmax",
        "log_softmax",
        "logsigmoid",
        "glu",
        "threshold",
        "clamp",
        "clamp_",
        "clip",
        "exp",
        "log",
        "sin",
        "cos",
        "abs",
        "pow",
        "__pow__",
        "square",
        "sqrt",
        "maximum",
        "minimum",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "max",
        "amax",
        "layer_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "normalize",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "lstm_cell",
        "gru_cell",
        "scaled_dot_product_attention",
        "multi_head_attention_forward",
        "erf",
        "where",
    ]
)
"""Operations after which a stack is no longer one linear map."""


class Wiring:
    """The calls of one learned step and phase, by what they made."""

    def __init__(self, calls: list[ScriptCall]) -> None:
        self.calls = sorted(calls, key=lambda call: call.order)
        self._makers: dict[int, list[ScriptCall]] = {}
        for call in self.calls:
            for output in call.outputs:
                self._makers.setdefault(output.key, []).append(call)

    def maker(self, tensor: TensorFacts, before: int | None = None) -> ScriptCall | None:
        """The last call, before this place in the order, that made a tensor; None for inputs and parameters."""
        made = [call for call in self._makers.get(tensor.key, ()) if before is None or call.order < before]
        return made[-1] if made else None

    def feeding(self, call: ScriptCall, argument: int = 0) -> ScriptCall | None:
        """The call that made an argument of a call."""
        if argument >= len(call.inputs):
            return None
        return self.maker(call.inputs[argument], call.order)

    def sources(self, call: ScriptCall, through: Callable[[ScriptCall], bool]) -> Iterator[ScriptCall]:
        """Calls that fed a call, stepping on through those for which ``through`` holds."""
        pending, seen = [call], {id(call)}
        while pending:
            reached = pending.pop()
            for index in range(len(reached.inputs)):
                fed = self.feeding(reached, index)
                if fed is None or id(fed) in seen:
                    continue
                seen.add(id(fed))
                if through(fed):
                    pending.append(fed)
                else:
                    yield fed

    def users(self, call: ScriptCall) -> list[ScriptCall]:
        """The calls that took what a call made."""
        keys = {output.key for output in call.outputs}
        return [
            later
            for later in self.calls
            if later.order > call.order and any(given.key in keys for given in later.inputs)
        ]
