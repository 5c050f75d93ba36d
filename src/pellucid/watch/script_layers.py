"""The layers of a script's models, sampled as those of a model that is watched by name."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from torch import nn

from pellucid.capture.network_outline import OutlineObserver
from pellucid.store.writer import RunWriter
from pellucid.watch.guard import Guard
from pellucid.watch.sampling import Sampling
from pellucid.watch.script_models import ModelRecord

__all__ = ["ScriptLayers"]


@dataclass
class _Layers:
    model: nn.Module
    sampling: Sampling
    started: int = -1
    has_hooks_seen_by_torch: bool = False


@dataclass
class ScriptLayers:
    """Samples every model within one budget, and draws the outline of the first.

    Args:
        writer: The run.
        guard: Keeps errors from the script.
        budget: Share of the time for all models together.
        full: Everything at every step, whatever it costs.
    """

    writer: RunWriter
    guard: Guard
    budget: float
    full: bool
    _layers: dict[int, _Layers] = field(default_factory=dict)
    _outline: ExitStack | None = None
    _outlined: bool = False

    def forward_begins(self, index: int, record: ModelRecord, step: int, training: bool) -> None:
        """A model is called, with gradients (``training``) or without."""
        layers = self._layers.get(index)
        if not training:
            # The fused evaluation of an encoder's layer is chosen only where its modules carry no hooks.
            if layers is not None and layers.has_hooks_seen_by_torch and layers.sampling.is_on:
                layers.sampling.stop()
            return
        if layers is None or layers.model is not record.module:
            layers = self._layers[index] = self._follow(index, record)
        if layers.started != step:
            layers.started = step
            layers.sampling.start_if_due(step)
            if index == 0 and not self._outlined and not record.compiled:
                self._outlined = True
                self.guard("outline", self._observe_outline)(record.module)

    def _follow(self, index: int, record: ModelRecord) -> _Layers:
        sampling = Sampling(
            record.module,
            self.writer,
            self.guard,
            budget=self.budget,
            full=self.full,
            prefix=f"{record.name}." if index else "",
            forward=not record.compiled,
        )
        fused = any(isinstance(each, nn.TransformerEncoderLayer) for each in record.module.modules())
        return _Layers(record.module, sampling, has_hooks_seen_by_torch=fused)

    def _observe_outline(self, model: nn.Module) -> None:
        observer = OutlineObserver(model)
        stack = ExitStack()

        def keep() -> None:
            outline = observer.outline()
            if outline.layers:
                self.writer.put_result("network_outline", outline)

        stack.callback(self.guard("outline", keep))
        stack.enter_context(observer.observing(lambda hook: self.guard("outline", hook)))
        self._outline = stack

    def forwards_are_over(self) -> None:
        """A backward pass begins, or the script has ended: the outline is seen."""
        if self._outline is not None:
            outline, self._outline = self._outline, None
            outline.close()

    def before_update(self, indices: list[int]) -> None:
        """These models' weights are about to change."""
        for index in indices:
            layers = self._layers.get(index)
            if layers is not None and layers.sampling.is_on:
                layers.sampling.before_update()

    def after_update(self, indices: list[int]) -> None:
        """They have changed."""
        for index in indices:
            layers = self._layers.get(index)
            if layers is not None and layers.sampling.is_on:
                layers.sampling.after_update()

    def earn(self, time_s: float, steps: int) -> None:
        """So many steps were trained in this time."""
        for layers in self._layers.values():
            layers.sampling.earn(time_s / len(self._layers), steps)

    def is_due(self, step: int) -> bool:
        """Whether this step is to be sampled."""
        return not self._layers or any(layers.sampling.is_due(step) for layers in self._layers.values())

    @property
    def until_next_account(self) -> int:
        """In so many steps accounts are drawn up: until then nothing becomes due by what it costs."""
        return min((layers.sampling.until_next_account for layers in self._layers.values()), default=1)

    def wants_norm(self, step: int) -> bool:
        """Whether this step's row is to have the norm of the gradient."""
        return self.norms_wanted(step, 1) > 0

    def norms_wanted(self, step: int, most: int) -> int:
        """Of so many steps from this one on, how many are to have it."""
        return next((layers.sampling.norms_wanted(step, most) for layers in self._layers.values()), most)

    def norm_taken(self) -> None:
        """The norm was taken."""
        for layers in list(self._layers.values())[:1]:
            layers.sampling.norm_taken()

    @property
    def fast(self) -> bool:
        """Whether compiled passes are loaded."""
        return any(layers.sampling.fast for layers in self._layers.values())

    @property
    def steps(self) -> int:
        """Steps at which some model's layers were sampled."""
        return max((layers.sampling.steps for layers in self._layers.values()), default=0)

    def pause(self) -> None:
        """Take every hook off; the next sample puts its own on."""
        self.forwards_are_over()
        for layers in self._layers.values():
            layers.sampling.stop()
