"""What a data report says of texts: what they are cut into, what is cut off or unknown, which classes there are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pellucid.data.data_report import class_counts, warn_of_classes, warn_of_splits
from pellucid.data.examples import class_column, count_example_duplicates, number_column, plain_column, sample_rows
from pellucid.data.prepared import Split
from pellucid.data.target import NO_CLASS, Target
from pellucid.data.text_preparation import shorten
from pellucid.data.text_reading import TextReading
from pellucid.data.tokenizers import UNKNOWN, Tokenizer
from pellucid.results.data_report import ColumnReport, DataReport

__all__ = ["TextDraft", "describe_tokens", "report_texts"]

_SHOWN = 300


@dataclass
class TextDraft:
    """What is decided so far."""

    reading: TextReading
    digest: str
    rows: np.ndarray  # in use, by their number in the source
    values: np.ndarray | None  # class numbers or quantities of every row of the source
    target: Target | None
    split: dict[str, np.ndarray] = field(default_factory=dict)  # positions in rows
    method: str = ""
    without_target: int = 0
    without_text: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def texts(self, positions: np.ndarray) -> list[str]:
        """The texts at positions among the rows in use."""
        return [self.reading.texts[row] for row in self.rows[positions]]


def describe_tokens(draft: TextDraft, tokenizer: Tokenizer, splits: dict[str, Split]) -> None:
    """Facts about vocabulary, length and what was cut off or is unknown."""
    lengths = {name: tokenizer.count(draft.texts(positions)) for name, positions in draft.split.items()}
    cut = {name: int((counts > tokenizer.length).sum()) for name, counts in lengths.items()}
    outside = [splits[name].inputs.numpy() for name in splits if name != "train"]
    tokens = sum(int((part > 0).sum()) for part in outside)
    unknown = sum(int((part == UNKNOWN).sum()) for part in outside)
    kind = "characters" if tokenizer.kind == "character" else "words and punctuation marks"
    train = lengths["train"]
    draft.facts |= {
        "tokens": kind,
        "vocabulary size": f"{len(tokenizer.tokens)}, padding and unknown included",
        "length": f"{tokenizer.length} tokens",
        "tokens in a training text": f"{train.min()} to {train.max()}, median {np.median(train):g}",
        "truncated": f"{sum(cut.values())} of {len(draft.rows)} texts",
        "unknown": f"{unknown / max(1, tokens):.2%} of the tokens of validation and test texts",
        "empty": f"{draft.without_text} rows without any text",
    }
    draft.notes.append(
        f"Texts are read as {kind}: {len(tokenizer.tokens)} tokens known, {tokenizer.length} kept of each text."
    )
    if sum(cut.values()):
        draft.notes.append(f"{sum(cut.values())} of {len(draft.rows)} texts are longer and cut at the end.")


def _counts(draft: TextDraft, splits: dict[str, Split], classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """How often each class, or each token to be predicted, stands in each split."""
    if draft.values is not None and classes:
        return class_counts(draft.values[draft.rows], draft.split, len(classes))
    if not classes:
        return {}
    steps = {name: split.targets.numpy().ravel() for name, split in splits.items()}
    return {
        name: np.bincount(targets[targets != NO_CLASS], minlength=len(classes)).astype(np.int64)
        for name, targets in steps.items()
    }


def _columns(draft: TextDraft, classes: tuple[str, ...], distinct: int) -> tuple[ColumnReport, ...]:
    treatment = (f"cut into {draft.facts['tokens']}", f"{draft.facts['length']}, padded with 0")
    name = draft.reading.text_name
    text = plain_column(name, "text", "text", treatment, missing=draft.without_text, distinct=distinct)
    if draft.values is None or draft.target is None:
        return (text,)
    values, missing = draft.values[draft.rows], draft.without_target
    if classes:
        return text, class_column(draft.target.column.name, values, classes, missing)
    treatment = (f"standardised: mean {values[draft.split['train']].mean():.4g}",)
    return text, number_column(draft.target.column.name, "target", values, treatment, missing=missing)


def report_texts(draft: TextDraft, splits: dict[str, Split], classes: tuple[str, ...], seed: int) -> DataReport:
    """The report of texts that are split and encoded.

    Args:
        draft: What was decided.
        splits: The encoded splits.
        classes: Class names, or the vocabulary where each next token is predicted; empty for regression.
        seed: Of the texts that are shown.
    """
    labels = [""] * len(draft.reading.texts) if draft.reading.labels is None else draft.reading.labels.tolist()
    keys = {
        name: [f"{text}\0{labels[row]}" for text, row in zip(draft.texts(part), draft.rows[part], strict=True)]
        for name, part in draft.split.items()
    }
    duplicates, across = count_example_duplicates(keys)
    counts = _counts(draft, splits, classes)
    sizes = {name: len(positions) for name, positions in draft.split.items()}
    shown = draft.split["train"][sample_rows(sizes["train"], seed)]
    warnings = [] if draft.values is None else warn_of_classes(classes, counts)
    return DataReport(
        source=draft.reading.place,
        fingerprint=draft.digest,
        modality="text",
        task="classification" if classes else "regression",
        rows=len(draft.rows),
        rows_without_target=draft.without_target,
        columns=_columns(draft, classes if draft.values is not None else (), len(draft.rows) - duplicates),
        features_out=int(splits["train"].inputs.shape[1]),
        split_sizes=sizes,
        split_method=draft.method,
        classes=classes,
        class_counts=counts,
        duplicate_rows=duplicates,
        duplicates_across_splits=across,
        leakage=(),
        facts=draft.facts,
        warnings=(*warnings, *warn_of_splits(sizes, across)),
        sample_images=None,
        sample_texts=tuple(shorten(text, _SHOWN) for text in draft.texts(shown)),
        sample_labels=() if draft.values is None else tuple(str(labels[row]) for row in draft.rows[shown]),
    )
