"""Which operation fed which, in the learned steps: followed by the keys of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pellucid.results.watched_script import ScriptCall, TensorFacts

__all__ = ["ACTIVATIONS", "CONTRACTIONS", "NONLINEAR", "VIEWS", "Wiring"]

VIEWS = frozenset(
    {
        *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "T", "mT"),
        *("contiguous", "expand", "expand_as", "view_as", "reshape_as", "movedim", "moveaxis", "swapaxes", "swapdims"),
        *("float", "double", "half", "bfloat16", "to", "type", "type_as", "cpu", "cuda", "clone", "getitem", "select"),
        *("narrow", "chunk", "split", "unbind", "detach", "data", "requires_grad", "cat", "stack", "ravel", "alias"),
    }
)
"""Operations that move or relabel numbers without computing."""

CONTRACTIONS = frozenset(
    {
        *("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        *("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv", "tensordot"),
    }
)
"""Operations that are linear in their input and, with a parameter, hold a layer's weights."""

ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
        *("hardsigmoid", "hardtanh", "hardshrink", "softshrink", "tanhshrink", "sigmoid", "tanh", "softplus"),
        *("softsign", "logsigmoid", "threshold"),
    }
)
"""Functions of one entry that networks put between their layers."""

NONLINEAR = ACTIVATIONS | {
    *("softmax", "log_softmax", "glu", "clamp", "clamp_min", "clamp_max", "exp", "log", "sin", "cos", "abs", "pow"),
    *("square", "sqrt", "rsqrt", "maximum", "minimum", "max", "min", "amax", "amin", "max_pool1d", "max_pool2d"),
    *("max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "layer_norm", "group_norm", "instance_norm"),
    *("rms_norm", "normalize", "norm", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell"),
    *("rnn_relu_cell", "scaled_dot_product_attention", "multi_head_attention_forward", "erf", "where", "sign"),
    *("heaviside", "logsumexp", "cumsum", "sort", "topk", "round", "floor", "sinh", "cosh", "atan", "reciprocal"),
}
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

    def computed_from(self, call: ScriptCall, argument: int = 0) -> ScriptCall | None:
        """The call that computed an argument, views left out."""
        fed = self.feeding(call, argument)
        while fed is not None and fed.function in VIEWS:
            fed = self.feeding(fed)
        return fed

    def users(self, call: ScriptCall) -> list[ScriptCall]:
        """The calls that took what a call made."""
        keys = {output.key for output in call.outputs}
        return [
            later
            for later in self.calls
            if later.order > call.order and any(given.key in keys for given in later.inputs)
        ]
