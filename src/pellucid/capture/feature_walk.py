"""Features that are read more than once: kept after the first pass where they fit, else computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import find_classifier, read_features

__all__ = ["FeatureWalk", "WalkedBatch", "walk_model", "walk_tensors"]

WalkedBatch = tuple[Tensor, Tensor, "Tensor | None"]
"""Features (examples, features), targets (examples, …), and the model's own outputs' classes, where it gives them."""

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]


@dataclass(eq=False)
class FeatureWalk:
    """Features to be read several times, and the last linear layer on top of them.

    Attributes:
        source: Reads them anew, a batch at a time.
        layer: The module whose input they are; '' for features that were given.
        weight: Its weight, (outputs, features), where there is one.
        bias: Its bias, (outputs,).
        memory: Bytes that may be spent on keeping them after the first reading.
        whole: They lie in memory anyway, so that a reading costs nothing.
    """

    source: Callable[[], Iterator[WalkedBatch]]
    layer: str = ""
    weight: Tensor | None = None
    bias: Tensor | None = None
    memory: int = 0
    whole: bool = False
    _kept: list[WalkedBatch] | None = field(default=None, init=False, repr=False)

    @property
    def cheap(self) -> bool:
        """Whether another reading needs no forward pass."""
        return self.whole or self._kept is not None

    def read(self) -> Iterator[WalkedBatch]:
        """Every batch, in the same order each time if the features lie in memory."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[WalkedBatch] | None = [] if self.memory > 0 and not self.whole else None
        spent = 0
        for batch in self.source():
            if kept is not None:
                spent += sum(part.numel() * part.element_size() for part in batch if part is not None)
                if spent > self.memory:
                    kept = None
                else:
                    kept.append(batch)
            yield batch
        self._kept = kept

    def resampled(self, generator: np.random.Generator) -> FeatureWalk:
        """The same with examples drawn with replacement inside each class: batch by batch, without a second copy."""
        labels = torch.cat([y.cpu() for _, y, _ in self.read()]).numpy()
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        begins = np.cumsum(counts) - counts
        drawn = begins[labels] + (generator.random(len(labels)) * counts[labels]).astype(np.int64)
        times = torch.from_numpy(np.bincount(order[drawn], minlength=len(labels)))

        def source() -> Iterator[WalkedBatch]:
            begin = 0
            for features, targets, decided in self.read():
                own = times[begin : begin + len(targets)].to(features.device)
                begin += len(targets)
                again = None if decided is None else decided.repeat_interleave(own)
                yield features.repeat_interleave(own, dim=0), targets.repeat_interleave(own), again

        return FeatureWalk(source, self.layer, self.weight, self.bias, whole=True)


def walk_model(model: nn.Module, batches: Batches, *, memory: int) -> FeatureWalk:
    """The features of a model's last linear layer.

    Args:
        model: A network whose output comes from a linear layer.
        batches: Walks the data anew: (inputs, targets).
        memory: Bytes for keeping the features after the first forward pass; where they are more, each reading runs the
            model again.

    Raises:
        SettingsError: the output comes from something else.
    """
    first, _ = next(batches())
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    classifier = find_classifier(model, first[:1].to(where))

    def source() -> Iterator[WalkedBatch]:
        for batch in read_features(model, batches(), classifier):
            yield batch.features, batch.targets, batch.outputs.argmax(dim=1) if batch.outputs.ndim == 2 else None

    return FeatureWalk(source, classifier.name, classifier.weight, classifier.bias, memory)


def walk_tensors(batches: Batches) -> FeatureWalk:
    """Features that were given: (features, targets) batches."""

    def source() -> Iterator[WalkedBatch]:
        for features, targets in batches():
            yield features, targets, None

    return FeatureWalk(source, whole=True)
