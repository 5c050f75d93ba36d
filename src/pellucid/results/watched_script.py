"""What the watch learned of a training script: its parts, their wiring, and a sample of what went through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = [
    "CodeLine",
    "ExamplesSeen",
    "NonFiniteOrigin",
    "OptimizerGroup",
    "ScriptCall",
    "ScriptLoader",
    "ScriptLoss",
    "ScriptModel",
    "ScriptModule",
    "ScriptOptimizer",
    "ScriptParameter",
    "ScriptScheduler",
    "SourceFile",
    "TensorFacts",
    "WatchedScript",
]

Setting = bool | int | float | str | None


@dataclass(frozen=True)
class CodeLine:
    """A line of the user's own source; ``line`` is 0 where none is known."""

    file: str  # as in ``SourceFile.path``
    line: int  # counted from 1
    text: str  # stripped
    function: str  # '<module>' at top level


@dataclass(frozen=True)
class SourceFile:
    """A file of the user's that took part, as it was when the run began."""

    path: str  # relative to the script's folder where it lies below it
    text: str


@dataclass(frozen=True)
class TensorFacts:
    """Figures of one tensor at one moment; the numbers are over its finite entries, nan where there are none."""

    key: int  # the same tensor, within one learned step, has the same key
    origin: str  # "input" | "target" | "parameter" | "activation" | "constant"
    shape: tuple[int, ...]
    dtype: str  # "float32", "int64" …
    requires_grad: bool
    minimum: float
    maximum: float
    mean: float
    std: float
    zero: float  # share exactly 0
    nonfinite: float  # share that is NaN or infinite
    whole: bool  # every entry is a whole number


@dataclass(frozen=True)
class ScriptCall:
    """One call of a torch function in a learned step, as the script or one of its modules made it."""

    step: int
    phase: str  # "train" | "evaluation"
    order: int  # within the step
    function: str  # "cross_entropy", "softmax", "view", "mean", "backward" …; tensor methods and operators by name
    module: str  # the qualified name of the innermost module that was running; '' outside any
    model: int  # index into ``models``; −1 outside any
    training: bool  # that module's mode, or the model's
    place: CodeLine
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    settings: dict[str, Setting]  # arguments that are no tensors, by name: dim, reduction, training, p, eps, shape …
    reaches_loss: bool  # whether its output takes part in the loss that was back-propagated


@dataclass(frozen=True)
class ScriptModule:
    """One module of a model."""

    name: str  # qualified; '' is the model itself
    kind: str  # class name
    settings: str  # its extra_repr
    parameters: int  # its own, without its children's
    calls: int  # in the first learned training step
    registered: bool  # False: it runs within the model's forward, yet the model does not own it
    trained_mode: float  # share of the training forwards seen in which it was in training mode; nan: never seen
    evaluated_mode: float  # share of the evaluation forwards in which it was in TRAINING mode; nan: never seen


@dataclass(frozen=True)
class ScriptParameter:
    """One parameter, or a leaf tensor that gradients reach although no module owns it (``module`` is then '?')."""

    name: str
    module: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool  # requires_grad, when training began
    optimizer: int  # index into ``optimizers`` of the one that holds it; −1 for none
    used: bool  # it took part in a training forward
    got_gradient: bool  # a gradient was seen before some update
    gradient_zero: bool  # every gradient looked at was exactly 0
    initial_mean: float
    initial_std: float
    initial_unit_spread: float  # largest std over units (first axis) of an entry: 0 when all units are equal
    initial_scale: float  # std · √fan_in; 1/√3 ≈ 0.58 for torch's own default, √2 for He; nan for vectors
    initial_uniform: bool  # its entries look like torch's own uniform default, within 1/√fan_in
    initial_norm: float
    final_norm: float
    moved: float  # ‖θ_end − θ_0‖ / ‖θ_0‖; nan where it was not looked at twice


@dataclass(frozen=True)
class ScriptModel:
    """A root module: one that is called while no other runs. Roots of one step may be several."""

    name: str  # the variable's name where one is found, else the class name
    kind: str
    place: CodeLine  # where it was first called
    parameters_total: int
    modules: tuple[ScriptModule, ...]
    parameters: tuple[ScriptParameter, ...]
    train_calls: int
    evaluation_calls: int
    compiled: bool


@dataclass(frozen=True)
class OptimizerGroup:
    """One parameter group as it was at the first step, and its learning rate at the last."""

    settings: dict[str, Setting]  # lr, momentum, weight_decay, eps, betas as "0.9, 0.999" …
    parameters: int  # how many tensors
    last_rate: float


@dataclass(frozen=True)
class ScriptOptimizer:
    """An optimiser that stepped. ``instances`` above 1: as many of the kind stepped the same parameters."""

    kind: str
    place: CodeLine  # where it was made
    groups: tuple[OptimizerGroup, ...]
    steps: int
    instances: int
    cleared: float  # share of updates before whose backward pass the gradients were clear; nan: not looked at
    backwards_per_step: float
    half: bool  # whether it holds float16 or bfloat16 parameters


@dataclass(frozen=True)
class ScriptScheduler:
    """A learning-rate scheduler."""

    kind: str
    place: CodeLine  # where its step was called, else where it was made
    settings: dict[str, Setting]  # step_size, gamma, T_max, total_steps, milestones as text …
    calls: int
    calls_per_update: float
    calls_per_epoch: float
    before_update: bool  # its first step came before the optimiser's


@dataclass(frozen=True)
class ScriptLoss:
    """One line that gives a loss which is back-propagated."""

    # torch's own by the function's name, "_loss" left out: "cross_entropy", "nll", "bce", "bce_with_logits", "mse",
    # "l1", "smooth_l1", "huber", "kl_div", "gaussian_nll", "cosine_similarity" …; hand-written ones likewise, and
    # "categorical" (−log of probabilities at the class or times one-hot), "rmse", "hinge", "dice", "policy_gradient",
    # "custom"
    kind: str
    place: CodeLine  # of the loss function's call, else of backward
    backward: CodeLine
    reduction: str  # "mean" | "sum" | "none" | ''
    settings: dict[str, Setting]  # weight, pos_weight, label_smoothing … (tensors as "tensor of 10")
    prediction: TensorFacts | None  # of the first learned step
    target: TensorFacts | None
    graph: tuple[str, ...]  # autograd nodes from the loss towards the first parameter, "AddmmBackward0" …
    terms: int  # how many summands were added to it after its call
    last_operation: str  # that made the prediction, views left out: "softmax", "relu", "linear" …
    last_module: str  # the module that made it, '' outside
    rows_sum_to_one: float  # share of the prediction's rows that do, entries in [0, 1]; nan for one column
    log_rows_sum_to_one: float  # the same of exp(prediction)
    target_values: tuple[float, ...]  # distinct ones seen, at most 64
    target_one_hot: bool  # each row one 1 and zeros
    classes: int  # columns of the prediction
    first: float
    last: float
    steps: int
    sign: int = 0  # 1: the kind is minimised as it should be; −1: it enters negated, so it is maximised; 0 unknown
    scale: float = float("nan")  # size of the constant factor on it: 0.25 for loss / 4; nan unknown
    others: tuple[str, ...] = ()  # kinds of the other summands, by line: "penalty" of weights, "mse", "custom" …


@dataclass(frozen=True)
class ScriptLoader:
    """A ``torch.utils.data.DataLoader`` that was iterated."""

    place: CodeLine
    dataset: str  # class name
    length: int  # examples, −1 unknown
    batch_size: int  # 0: none
    shuffled: bool  # a sampler that draws at random
    sampler: str
    drop_last: bool
    workers: int
    passes: int  # how often it was iterated
    trained: bool  # its batches were trained on


@dataclass(frozen=True)
class NonFiniteOrigin:
    """Where the first NaN or infinity came from."""

    step: int
    phase: str  # "data" | "forward" | "loss" | "backward" | "update" | "initial"
    what: str  # the operation, the parameter, or the batch's tensor
    module: str
    place: CodeLine
    inputs_finite: bool
    kind: str  # "nan" | "inf"
    detail: str  # e.g. "log of 3 zeros"


@dataclass(frozen=True)
class ExamplesSeen:
    """A sample of examples as they stood at the model's door and at the loss, rows aligned.

    At most 1,024 rows a phase; of an example with more than 1,024 features an even share of the features stands here.
    """

    phase: str  # "train" | "evaluation"
    step: np.ndarray  # int64, (rows,) of optimiser steps before it was seen
    batch: np.ndarray  # int32, (rows,) number of its batch, in the order in which batches came
    inputs: np.ndarray  # float32 (rows, features); token numbers as they are
    features: int  # of a whole example
    shape: tuple[int, ...]  # of a whole example
    tokens: bool  # the inputs are whole numbers that are looked up
    targets: np.ndarray  # float64 (rows, outputs) or (rows,); empty where no target was found
    predictions: np.ndarray  # float32 (rows, outputs); empty where none was found


@dataclass(frozen=True, eq=False)
class WatchedScript(Result):
    """What a watched script consists of. Series over steps are in the run's tables; see ``observations``."""

    schema: ClassVar[str] = "watched_script/1"

    script: str  # file name or module
    arguments: tuple[str, ...]
    ended: str  # "finished" | "stopped" | "failed" | "running"
    error: str  # "IndexError: Target 5 is out of bounds." of an uncaught exception
    error_place: CodeLine
    steps: int  # updates
    epochs: int  # recognised; 0 unknown
    epoch_steps: float  # updates an epoch; nan unknown
    sources: tuple[SourceFile, ...]
    models: tuple[ScriptModel, ...]
    optimizers: tuple[ScriptOptimizer, ...]
    schedulers: tuple[ScriptScheduler, ...]
    losses: tuple[ScriptLoss, ...]
    loaders: tuple[ScriptLoader, ...]
    calls: tuple[ScriptCall, ...]  # of the learned steps: the first training steps and evaluations, and a late one
    nonfinite: NonFiniteOrigin | None
    examples: tuple[ExamplesSeen, ...]
    warnings: tuple[str, ...]  # Python warnings that torch gave, with their line
    cost: float  # share of the time that the watch took
    coverage: dict[str, float]  # what share of steps each part looked at
