"""The parts of a script, found while it runs: models, optimisers, schedulers, loaders; and which belong together."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.results.watched_script import CodeLine
from pellucid.watch.call_site import CallSite, line_number
from pellucid.watch.script_loaders import EpochCounter, LoaderBook
from pellucid.watch.script_models import ModelBook
from pellucid.watch.script_optimizers import OptimizerBook, SchedulerBook
from pellucid.watch.script_places import NOWHERE, ScriptPlaces

__all__ = ["ScriptParts", "ScriptSettings"]

_MOST_GRAPH_NODES = 50_000
_MOST_WARNINGS = 64


@dataclass(frozen=True)
class ScriptSettings:
    """How a script is watched.

    Attributes:
        budget: Share of the training time that the watch may cost.
        full: Everything at every step, whatever it costs.
        runs_dir: Where the run is made; None means ``$PELLUCID_RUNS`` or ``./runs``.
        name: What the run is called; '' means the script's name.
        script: The file that runs; None in a notebook.
        title: The file's name or the module's, as a person would say it.
        arguments: What the script is given.
        module: The module's name where it was started as one.
        probe: Try things on copies of the model when the script has ended.
        starter: What is typed before the script's name or the module's to start it so.
    """

    budget: float = 0.03
    full: bool = False
    runs_dir: str | Path | None = None
    name: str = ""
    script: Path | None = None
    title: str = "session"
    arguments: tuple[str, ...] = ()
    module: str = ""
    probe: bool = False
    starter: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What a person types to run the script so again."""
        return " ".join([*self.starter, *(["-m"] if self.module else []), shlex.join([self.title, *self.arguments])])

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of them: how to start the script again, and how it was watched."""
        return {
            "script": "" if self.script is None else str(self.script),
            "module": self.module,
            "arguments": list(self.arguments),
            "folder": str(Path.cwd()),
            "budget": self.budget,
            "full": self.full,
        }


class ScriptParts:
    """Keeps the books of a script's parts, and answers what observers ask of them."""

    def __init__(self, settings: ScriptSettings) -> None:
        self.settings = settings
        self.places = ScriptPlaces(settings.script)
        self._book = ModelBook(self.places)
        self._optimizers = OptimizerBook()
        self._schedulers = SchedulerBook(self._optimizers)
        self._loaders = LoaderBook()
        self._epochs = EpochCounter(self._loaders)
        self._warnings: dict[str, None] = {}
        self._moves: dict[tuple[int, int], list[int]] = {}

    @property
    def epoch(self) -> int:
        """The epoch under way."""
        return self._epochs.now

    @property
    def models(self) -> Sequence[nn.Module]:
        """The models found so far."""
        return [record.module for record in self._book.records]

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimisers that stepped."""
        return [record.latest for record in self._optimizers.records]

    def locate(self, module: nn.Module) -> tuple[int, str]:
        """The model that owns a module, and its name there."""
        return self._book.locate(module)

    def place(self) -> CodeLine:
        """The person's running line."""
        return self.places.here()

    def place_at(self, site: CallSite) -> CodeLine:
        """A line of the person's, by its site."""
        code, _ = site
        return NOWHERE if code is None else self.places.line(code.co_filename, line_number(site), code.co_qualname)

    @torch.no_grad()
    def _see_leaves(self, loss: Tensor) -> None:
        """Which parameters the loss was made of."""
        frame: FrameType | None = None
        seen: set[Any] = set()
        waiting = [loss.grad_fn]
        while waiting and len(seen) < _MOST_GRAPH_NODES:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if isinstance(leaf, Tensor) and leaf.is_leaf:
                if id(leaf) not in self._book.parameters and frame is None:
                    frame = self.places.frame()
                self._book.see_leaf(leaf, frame)
            waiting.extend(parent for parent, _ in node.next_functions)

    def _moved_by(self, index: int) -> list[int]:
        """The models that an optimiser moves."""
        if index < 0:
            return []
        key = (index, len(self._book.parameters))
        moved = self._moves.get(key)
        if moved is None:
            held = {id(p) for p in self._optimizers.records[index].parameters()}
            frame = None
            for tensor in self._optimizers.records[index].parameters():
                record = self._book.parameters.get(id(tensor))
                if record is None:
                    frame = frame or self.places.frame()
                    self._book.see_leaf(tensor, frame)
                    record = self._book.loose.get(id(tensor))
                if record is not None:
                    record.optimizer = index
            moved = self._moves[key] = [
                i for i, each in enumerate(self._book.records) if any(id(p.tensor) in held for p in each.parameters)
            ]
        return moved

    @torch.no_grad()
    def _look_at_gradients(self) -> None:
        """Which parameters have a gradient, and which of those are all 0."""
        seen = [each for each in self._book.all_parameters() if each.tensor.grad is not None]
        gradients: list[Any] = [each.tensor.grad for each in seen]
        if not seen or any(g.is_sparse or g.device.type == "meta" for g in gradients):
            return
        found = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
        norms = torch.stack([norm.float() for norm in found]).tolist()
        for each, norm in zip(seen, norms, strict=True):
            each.got_gradient = True
            each.gradient_zero = each.gradient_zero and norm == 0

    def scheduler_made(self, scheduler: Any) -> None:
        """Made by the running line."""
        self._schedulers.note_made(scheduler, self.place())

    def scheduler_steps(self, scheduler: Any) -> None:
        """Called by the script."""
        new = self._schedulers.is_new(scheduler)
        self._schedulers.note_step(scheduler, self.place() if new else None)

    def iterator_made(self, iterator: Any, loader: Any) -> None:
        """For that pass."""
        self._loaders.note_iterator(iterator, loader)

    def batch_given(self, iterator: Any) -> None:
        """By a loader's iterator."""
        self._loaders.note_batch(iterator)

    def warned(self, text: str, file: str, line: int) -> None:
        """A Python warning is shown."""
        if len(self._warnings) < _MOST_WARNINGS:
            place = self.places.line(file, line, "")
            self._warnings[f"{place.file}:{place.line}: {text}"] = None
