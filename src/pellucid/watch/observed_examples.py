"""A sample of the examples that a script trains on and evaluates with, rows aligned with targets and predictions."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.results.watched_script import ExamplesSeen

__all__ = ["ExampleSample"]

_MOST_EARLY = 768
_MOST_LATE = 256
_LATE_ROWS = 64
_MOST_FEATURES = 1_024
_MOST_OUTPUTS = 1_024
_FIRST_ROWS = {"train": 128, "evaluation": 512}
_FEWEST_ROWS = 4


@dataclass(frozen=True, slots=True)
class _Rows:
    step: int
    batch: int
    inputs: np.ndarray
    targets: np.ndarray | None
    predictions: np.ndarray | None
    features: int
    shape: tuple[int, ...]
    tokens: bool

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def widths(self) -> tuple[object, ...]:
        """What rows of one table have in common."""
        tables = (self.inputs, self.targets, self.predictions)
        return tuple(None if table is None else table.shape[1:] for table in tables)


class ExampleSample:
    """Keeps at most 1,024 rows of a phase: most of them spread over the run so far, none twice, and some of its end.

    Args:
        phase: "train" or "evaluation".
    """

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self._early: list[_Rows] = []
        self._late: deque[_Rows] = deque()
        self._known: set[int] = set()
        self._rows_a_batch = _FIRST_ROWS[phase]
        self._seen = 0

    def add(self, when: tuple[int, int], inputs: Tensor, target: Tensor | None, prediction: Tensor | None) -> None:
        """Take some rows of a batch; its tensors are left as they are.

        Args:
            when: Updates before it, and its number in the order in which batches came.
            inputs: Examples along the first axis.
            target: As many rows, or a multiple.
            prediction: As many rows, or a multiple.
        """
        count = len(inputs) if inputs.ndim else 0
        if count == 0 or inputs.is_complex() or inputs.layout is not torch.strided:
            return
        self._seen += 1
        late = _take(_spread(count, _LATE_ROWS, self._seen), when, inputs, target, prediction)
        self._late.append(late)
        while sum(len(rows) for rows in self._late) - len(self._late[0]) >= _MOST_LATE:
            self._late.popleft()
        early = _take(_spread(count, self._rows_a_batch, self._seen), when, inputs, target, prediction)
        fresh = self._fresh(early)
        if len(fresh):
            self._early.append(fresh)
        if sum(len(rows) for rows in self._early) > _MOST_EARLY:
            self._thin()

    def sample(self) -> ExamplesSeen | None:
        """The rows kept; None where there are none."""
        kept = [*self._early, *self._of_the_end()]
        for name in ("targets", "predictions"):
            with_values = [rows for rows in kept if getattr(rows, name) is not None]
            kept = with_values or kept
        if not kept:
            return None
        sizes: dict[object, int] = {}
        for rows in kept:
            sizes[rows.widths] = sizes.get(rows.widths, 0) + len(rows)
        # Of several models' examples, those of which most were seen.
        kept = [rows for rows in kept if rows.widths == max(sizes, key=lambda widths: sizes[widths])]
        first = kept[0]
        return ExamplesSeen(
            phase=self._phase,
            step=np.concatenate([np.full(len(rows), rows.step, np.int64) for rows in kept]),
            batch=np.concatenate([np.full(len(rows), rows.batch, np.int32) for rows in kept]),
            inputs=np.concatenate([rows.inputs for rows in kept]),
            features=first.features,
            shape=first.shape,
            tokens=first.tokens,
            targets=_joined([rows.targets for rows in kept], np.float64),
            predictions=_joined([rows.predictions for rows in kept], np.float32),
        )

    def _of_the_end(self) -> list[_Rows]:
        """The latest rows, but for batches that stand among the early ones already."""
        steps = {rows.step for rows in self._early}
        return [rows for rows in self._late if rows.step not in steps]

    def _fresh(self, rows: _Rows) -> _Rows:
        """Those examples that are not kept already."""
        keep = []
        for place, row in enumerate(rows.inputs):
            name = hash(row.tobytes())
            if name not in self._known:
                self._known.add(name)
                keep.append(place)
        return rows if len(keep) == len(rows) else _chosen(rows, np.array(keep, int))

    def _thin(self) -> None:
        """Every second row goes, and of later batches fewer are taken."""
        self._early = [_chosen(rows, np.arange(0, len(rows), 2)) for rows in self._early]
        self._rows_a_batch = max(self._rows_a_batch // 2, _FEWEST_ROWS)


def _spread(count: int, most: int, number: int) -> np.ndarray:
    """Places spread evenly over a batch; other ones in each batch, so that a full batch is seen bit by bit."""
    if count <= most:
        return np.arange(count)
    stride = count / most
    offset = (number * 0.618034) % 1.0 * stride
    return np.minimum((np.arange(most) * stride + offset).astype(int), count - 1)


def _take(
    places: np.ndarray, when: tuple[int, int], inputs: Tensor, target: Tensor | None, prediction: Tensor | None
) -> _Rows:
    count = len(inputs)
    features = math.prod(inputs.shape[1:])
    tokens = not (inputs.dtype.is_floating_point or inputs.dtype is torch.bool or inputs.dtype is torch.uint8)
    index = torch.from_numpy(places).to(inputs.device)
    rows = inputs.detach()[index].reshape(len(places), -1)
    rows = rows[:, :: -(-max(rows.shape[1], 1) // _MOST_FEATURES)]
    return _Rows(
        step=when[0],
        batch=when[1],
        inputs=rows.float().cpu().numpy(),
        targets=_aligned(target, count, index, torch.float64),
        predictions=_aligned(prediction, count, index, torch.float32),
        features=features,
        shape=tuple(inputs.shape[1:]),
        tokens=tokens,
    )


def _aligned(tensor: Tensor | None, count: int, index: Tensor, dtype: torch.dtype) -> np.ndarray | None:
    """The rows of a tensor that belong to some examples; None where its rows are not the examples'."""
    if tensor is None or not tensor.shape or len(tensor) == 0 or len(tensor) % count or tensor.is_complex():
        return None
    rows = tensor.detach()
    rows = rows.reshape(count, -1) if rows.ndim > 1 or len(rows) != count else rows
    if rows.ndim > 1 and rows.shape[1] > _MOST_OUTPUTS:
        return None
    rows = rows[index.to(rows.device)]
    return rows.cpu().to(dtype).numpy()


def _chosen(rows: _Rows, places: np.ndarray) -> _Rows:
    return _Rows(
        rows.step,
        rows.batch,
        rows.inputs[places],
        None if rows.targets is None else rows.targets[places],
        None if rows.predictions is None else rows.predictions[places],
        rows.features,
        rows.shape,
        rows.tokens,
    )


def _joined(parts: list[np.ndarray | None], dtype: type) -> np.ndarray:
    present = [part for part in parts if part is not None]
    return np.concatenate(present).astype(dtype) if len(present) == len(parts) else np.empty(0, dtype)
