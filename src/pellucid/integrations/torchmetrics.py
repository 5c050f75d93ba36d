"""Neural collapse as a ``torchmetrics.Metric``: gathered inside any loop, reduced over any processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.core.collapse_measures import measure_collapse
from pellucid.errors import SettingsError
from pellucid.lenses.collapse_description import describe_collapse
from pellucid.results.neural_collapse import NeuralCollapse as NeuralCollapseResult

__all__ = ["NeuralCollapse"]


class NeuralCollapse(Metric):
    """The measures of neural collapse of features that arrive batch by batch, in two passes over them.

    A within-class scatter that is 10⁻⁹ of the distances between classes survives only if the centres are known before
    residuals are squared, or if a features × features matrix is kept. So the metric has two phases: ``update`` on every
    batch finds the centres, ``fix_centres`` ends the phase (and sums over the processes), ``update`` on every batch
    again measures about them. What ``compute`` gives is that of ``measure_neural_collapse``: any cut into batches and
    processes changes it by 1e-12 or so, and every process gets the same bits.

    Args:
        num_classes: How many classes there are.
        num_features: How many features.
        classifier: The linear layer on top of them, read when the centres are fixed; None to judge the features alone.
        overall: ``classes``: the global mean is that of the class means; ``examples``: of all examples.
        kwargs: As every metric takes them, such as ``process_group``.

    >>> metric = NeuralCollapse(3, 3)
    >>> corners, classes = torch.eye(3).repeat(2, 1), torch.arange(3).repeat(2)
    >>> metric.update(corners, classes)
    >>> metric.fix_centres()
    >>> metric.update(corners, classes)
    >>> round(float(metric.compute()["nc1"]), 12)
    0.0
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    counts: Tensor
    sums: Tensor
    along: Tensor
    phase: Tensor

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        classifier: nn.Linear | None = None,
        *,
        overall: str = "classes",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes, self.num_features, self.overall = num_classes, num_features, overall
        self._classifier = (classifier,)  # in a tuple, so that its weights are not taken for the metric's own
        self._scatter: ClassScatter | None = None
        double = torch.float64
        self.add_state("phase", torch.zeros((), dtype=torch.int64), dist_reduce_fx="max", persistent=True)
        self.add_state("counts", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum", persistent=True)
        self.add_state(
            "sums", torch.zeros(num_classes, num_features, dtype=double), dist_reduce_fx="sum", persistent=True
        )
        for name in ClassScatter.SUMS:
            size = min(num_classes, num_features) if name == "along" else num_classes
            dtype = torch.int64 if name in ("right", "right_by_centre", "mismatched") else double
            self.add_state(name, torch.zeros(size, dtype=dtype), dist_reduce_fx="sum", persistent=True)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """``update``: one batch has no collapse of its own."""
        self.update(*args, **kwargs)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch: (examples, features) and (examples,) class numbers.

        Raises:
            DataError: shapes do not fit, a label is out of range, or a feature is not finite.
        """
        if not int(self.phase):
            self._means().update(features, labels)
            return
        scatter = self._about_centres()
        for name in ClassScatter.SUMS:
            state = getattr(self, name)
            setattr(scatter, name, state[: len(scatter.along)] if name == "along" else state)
        scatter.update(features, labels)

    def fix_centres(self) -> None:
        """End the first phase: sum over the processes, and measure about the centres from now on."""
        self.phase.fill_(1)
        self._scatter = None
        self._about_centres()

    def reset(self) -> None:
        """Forget everything; the first phase begins again."""
        super().reset()
        self._scatter = None

    def compute(self) -> dict[str, Tensor]:
        """Every measure by its name, float64.

        Raises:
            SettingsError: the centres have not been fixed, or no batch came after.
        """
        scatter = self._whole()
        found = measure_collapse(scatter, *self._layer())
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def result(self, *, layer: str = "", split: str = "") -> NeuralCollapseResult:
        """The same as ``measure_neural_collapse`` gives it, with conventions and rounding errors; on every process.

        Args:
            layer: What to call the layer.
            split: What to call the data.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            scatter = self._whole()
            weight, bias = self._layer()
            values = measure_collapse(scatter, weight, bias)
            return describe_collapse(scatter.centres, scatter, weight, values, layer=layer, split=split)

    def _means(self) -> ClassMeans:
        means = ClassMeans(self.num_classes, self.num_features, self.sums.device)
        means.counts, means.sums = self.counts, self.sums
        return means

    def _about_centres(self) -> ClassScatter:
        """The second phase's accumulator about the centres of all processes."""
        if self._scatter is None:
            with self.sync_context(dist_sync_fn=self.dist_sync_fn):
                centres = Centres.of(self._means(), overall=self.overall)
            self._scatter = ClassScatter(centres, *self._layer())
        return self._scatter

    def _whole(self) -> ClassScatter:
        """What all processes gathered, their states having been summed."""
        if not int(self.phase) or not float(self.sums.abs().sum() + self.counts.sum()):
            raise SettingsError(
                "the centres have not been fixed",
                place="NeuralCollapse",
                remedy="update with every batch, call fix_centres(), and update with every batch again",
            )
        scatter = ClassScatter(Centres.of(self._means(), overall=self.overall), *self._layer())
        for name in ClassScatter.SUMS:
            state = getattr(self, name)
            setattr(scatter, name, state[: len(scatter.along)] if name == "along" else state)
        return scatter

    def _layer(self) -> tuple[Tensor | None, Tensor | None]:
        layer = self._classifier[0]
        if layer is None:
            return None, None
        return layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
