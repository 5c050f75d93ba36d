"""The fitted preprocessing of texts: a vocabulary, a length, and what the labels mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid.data.columns import Column
from pellucid.data.persistence import read_document, write_document
from pellucid.data.prepared import RawRows
from pellucid.data.target import Target, encode_target
from pellucid.data.text_reading import FIRST_LETTER, TextReading, read_texts
from pellucid.data.tokenizers import Tokenizer
from pellucid.errors import PellucidError, RunCorruptedError

if TYPE_CHECKING:
    import torch

__all__ = ["TextPreparation", "shorten"]

_NAMED = 80
_SHOWN = 600


@dataclass(frozen=True, eq=False)
class TextPreparation:
    """How texts become the network's token numbers.

    Attributes:
        source: The absolute path trained on, or a name where there is none.
        text_name: The column of the texts.
        target: What is predicted of each text, ``None`` when it is each next token.
        target_scale: Mean and standard deviation of a regression target.
        tokenizer: Fitted on the training texts.
        next_token: Whether each following token is predicted.
        first_letter: Whether the first letter is taken off and predicted.
        seed: From which an embedded set was made.
        kept: The texts and labels themselves, where they came from no file.
    """

    source: str
    text_name: str
    target: Target | None
    target_scale: tuple[np.ndarray, np.ndarray] | None
    tokenizer: Tokenizer
    next_token: bool = False
    first_letter: bool = False
    seed: int = 0
    kept: tuple[tuple[str, ...], tuple[Any, ...] | None] | None = None
    modality: Literal["text"] = "text"

    def read(self, path: str | Path | Any) -> RawRows:
        """Read texts for prediction from a source shaped like the training data; every row gives one input.

        A row without any text is read as one unknown token. A missing or unknown class becomes -100 in the targets.

        Raises:
            DataError: The source cannot be read, or the text column is not there.
        """
        import pandas

        reading = self._open(path)
        values = None
        if self.target is not None and reading.labels is not None:
            values = encode_target(self.target, reading.labels, place=reading.place)
        inputs, targets = self.encode(reading.texts, values)
        named: dict[str, Any] = {"row": np.arange(len(reading.texts))}
        if reading.files:
            named["file"] = list(reading.files)
        elif self.text_name != "row":
            named[self.text_name] = [shorten(text, _NAMED) for text in reading.texts]
        return RawRows(inputs, targets, pandas.DataFrame(named))

    def encode(self, texts: Sequence[str], values: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Token numbers of texts, and their targets.

        Args:
            texts: The texts.
            values: ``(batch,)`` class numbers or quantities, ``None`` where they are not known.
        """
        import torch

        if self.next_token:
            inputs, following = self.tokenizer.encode_steps(texts)
            return torch.from_numpy(inputs), torch.from_numpy(following)
        inputs = torch.from_numpy(self.tokenizer.encode(texts))
        if values is None:
            return inputs, None
        if self.target_scale is None:
            return inputs, torch.from_numpy(values.astype(np.int64))
        mean, std = self.target_scale
        return inputs, torch.from_numpy(((values[:, None] - mean) / std).astype(np.float32))

    def _open(self, source: str | Path | Any) -> TextReading:
        import pandas

        if self.kept is not None and isinstance(source, str | Path) and str(source) == self.source:
            texts, labels = self.kept
            series = None if labels is None else pandas.Series(list(labels))
            return TextReading(self.source, list(texts), series, self.text_name, None)
        target = FIRST_LETTER if self.first_letter else None if self.target is None else self.target.column.name
        return read_texts(source, text=self.text_name, target=target, seed=self.seed, need_target=False)

    def preview(self, rows: np.ndarray) -> dict[str, Any]:
        """``{"texts": [...]}`` of source rows, long ones cut; ``{}`` if the source is gone."""
        try:
            texts = self._open(self.source).texts
        except (PellucidError, OSError):
            return {}
        if len(rows) and int(np.max(rows)) >= len(texts):
            return {}  # the source has changed since
        return {"texts": [shorten(texts[int(row)], _SHOWN) for row in rows]}

    def save(self, folder: Path) -> None:
        """Write ``preparation.json``, vocabulary included."""
        document = {
            "source": self.source,
            "text_name": self.text_name,
            "target": None if self.target is None else asdict(self.target),
            "target_scale": None if self.target_scale is None else [part.tolist() for part in self.target_scale],
            "tokenizer": self.tokenizer.to_document(),
            "next_token": self.next_token,
            "first_letter": self.first_letter,
            "seed": self.seed,
            "kept": None if self.kept is None else {"texts": list(self.kept[0]), "labels": _plain(self.kept[1])},
        }
        write_document(Path(folder), document, modality="text")

    @classmethod
    def load(cls, folder: Path) -> TextPreparation:
        """Read what ``save`` wrote.

        Raises:
            RunCorruptedError: It is missing, damaged or of another kind of data.
        """
        document = read_document(Path(folder), modality="text")
        try:
            scale, kept = document["target_scale"], document["kept"]
            return cls(
                source=str(document["source"]),
                text_name=str(document["text_name"]),
                target=None if document["target"] is None else _target(document["target"]),
                target_scale=None if scale is None else (np.array(scale[0]), np.array(scale[1])),
                tokenizer=Tokenizer.from_document(document["tokenizer"], place=str(folder)),
                next_token=bool(document["next_token"]),
                first_letter=bool(document["first_letter"]),
                seed=int(document["seed"]),
                kept=None if kept is None else (tuple(kept["texts"]), kept["labels"] and tuple(kept["labels"])),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RunCorruptedError(
                f"the text preparation cannot be read ({error})", place=str(folder), remedy="train again"
            ) from error


def _plain(labels: tuple[Any, ...] | None) -> list[Any] | None:
    """Labels as JSON can say them: numbers stay numbers, everything else becomes text."""
    if labels is None:
        return None
    return [label if isinstance(label, int | float | str) and label == label else None for label in labels]  # noqa: PLR0124  # NaN is not equal to itself


def _target(entry: dict[str, Any]) -> Target:
    column = {**entry["column"], "values": tuple(entry["column"]["values"]), "marks": tuple(entry["column"]["marks"])}
    classes = None if entry["classes"] is None else tuple(str(name) for name in entry["classes"])
    return Target(Column(**column), entry["task"], classes, str(entry["note"]))


def shorten(text: str, length: int) -> str:
    """A text of at most ``length`` characters, in one line, with an ellipsis where it goes on."""
    plain = " ".join(text.split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"
