"""Texts turned into token numbers, for a label of each text or for each next token."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.data.examples import draw_rows, split_examples
from pellucid.data.fingerprint import fingerprint
from pellucid.data.prepared import Prepared, Split
from pellucid.data.settings import DataSettings
from pellucid.data.target import NO_CLASS, encode_target, infer_target
from pellucid.data.text_preparation import TextPreparation
from pellucid.data.text_reading import FIRST_LETTER, TextReading, read_texts
from pellucid.data.text_report import TextDraft, describe_tokens, report_texts
from pellucid.data.tokenizers import fit_tokenizer
from pellucid.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pandas
    import torch

__all__ = ["TextPreparation", "prepare_text", "prepare_texts"]


def prepare_text(
    source: str | Path | pandas.DataFrame,
    settings: DataSettings | None = None,
    seed: int = 0,
    *,
    fold: int | None = None,
) -> Prepared:
    """Prepare texts for training.

    Args:
        source: A table with a text column, a ``.txt`` file of one text a line, a folder of ``.txt`` files in class
            folders, an embedded set's name, or a DataFrame.
        settings: ``text`` names the text column and ``target`` the labels (``"first_letter"``: the text's own first
            letter, told from the rest); ``text_task="next_token"`` predicts each following token instead.
        seed: Of the split, the draw of ``settings.limit`` and embedded sets.
        fold: Which of ``settings.folds`` folds is the test split; ``None`` = no folds.

    Raises:
        DataError: The source cannot be read, a column is not there, or too few texts are left.
    """
    settings = settings or DataSettings()
    _check(settings)
    labelled = settings.text_task == "label"
    reading = read_texts(
        source,
        text=settings.text,
        target=settings.target if labelled else None,
        group=settings.group,
        seed=seed,
        need_target=labelled,
    )
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.exists():
        return _prepare(reading, fingerprint(path), settings, seed, fold=fold, source=str(path.resolve()))
    return _prepare(reading, _digest(reading), settings, seed, fold=fold, source=reading.place, keep=path is None)


def prepare_texts(  # noqa: PLR0917  # the same order as for images, for data sets made in memory
    texts: Sequence[str],
    labels: Sequence[Any] | np.ndarray,
    class_names: Sequence[str] | None,
    source_name: str,
    settings: DataSettings | None = None,
    seed: int = 0,
    *,
    text_name: str = "text",
    label_name: str = "label",
    fold: int | None = None,
) -> Prepared:
    """Prepare texts that stand in memory.

    Args:
        texts: The texts.
        labels: Class names, or class numbers into ``class_names``, or quantities for regression.
        class_names: Names of the numbers 0, 1, …; ``None`` = taken from the labels.
        source_name: What to call the data.
        settings: How to split and to cut into tokens.
        seed: For the split and the draw of ``settings.limit``.
        text_name: What to call the text.
        label_name: What to call the label.
        fold: Which of ``settings.folds`` folds is the test split; ``None`` = no folds.
    """
    import pandas

    settings = settings or DataSettings()
    _check(settings)
    if len(texts) != len(labels):
        raise DataError(f"there are {len(texts)} texts but {len(labels)} labels", place=source_name)
    named = list(labels) if class_names is None else [class_names[int(label)] for label in labels]
    reading = TextReading(source_name, [str(text) for text in texts], pandas.Series(named), text_name, label_name)
    return _prepare(reading, _digest(reading), settings, seed, fold=fold, source=source_name, keep=True)


def _digest(reading: TextReading) -> str:
    labels = [] if reading.labels is None else [str(label) for label in reading.labels]
    return hashlib.sha256("\0".join([*reading.texts, *labels]).encode()).hexdigest()


def _check(settings: DataSettings) -> None:
    if settings.text_task == "next_token" and settings.task == "regression":
        raise SettingsError("a next token is not a quantity", place="task", remedy="leave the task out")


def _prepare(
    reading: TextReading,
    digest: str,
    settings: DataSettings,
    seed: int,
    *,
    fold: int | None,
    source: str,
    keep: bool = False,
) -> Prepared:
    """Choose rows, split, fit the vocabulary on the training texts, and encode."""
    steps = settings.text_task == "next_token"
    draft = _choose_rows(reading, digest, settings, seed)
    classified = draft.target is not None and draft.target.classes is not None
    draft.split, draft.method = split_examples(
        settings,
        seed,
        labels=draft.values[draft.rows] if classified and draft.values is not None else None,
        count=len(draft.rows),
        parts=None if reading.parts is None else reading.parts[draft.rows],
        groups=None if reading.groups is None else reading.groups[draft.rows],
        target=reading.target_name if classified else None,
        fold=fold,
        place=reading.place,
    )
    tokenizer = fit_tokenizer(
        draft.texts(draft.split["train"]),
        kind="character" if steps and settings.tokens == "auto" else settings.tokens,
        vocabulary=settings.vocabulary,
        length=settings.length,
        with_end=steps,
    )
    scale = None
    if draft.target is not None and not classified and draft.values is not None:
        training = draft.values[draft.rows[draft.split["train"]]]
        scale = np.array([training.mean()]), np.array([training.std() or 1.0])
    preparation = TextPreparation(
        source=source,
        text_name=reading.text_name,
        target=draft.target,
        target_scale=scale,
        tokenizer=tokenizer,
        next_token=steps,
        first_letter=reading.target_name == FIRST_LETTER,
        seed=seed,
        kept=(tuple(reading.texts), _cells(reading)) if keep else None,
    )
    splits = {
        name: Split(*_encode(preparation, draft, positions), draft.rows[positions])
        for name, positions in draft.split.items()
    }
    describe_tokens(draft, tokenizer, splits)
    classes = tokenizer.tokens if steps else draft.target.classes if draft.target is not None else None
    report = report_texts(draft, splits, classes or (), seed)
    return Prepared(
        modality="text",
        task="regression" if scale is not None else "classification",
        splits=splits,
        input_shape=tuple(splits["train"].inputs.shape[1:]),
        classes=classes,
        target_names=("next token",) if steps else (str(reading.target_name),),
        target_scale=scale,
        preparation=preparation,
        report=report,
        vocabulary_size=len(tokenizer.tokens),
        notes=(
            *draft.notes,
            f"Texts were split {draft.method}: {', '.join(f'{len(part)} {name}' for name, part in splits.items())}.",
            *report.warnings,
        ),
    )


def _cells(reading: TextReading) -> tuple[Any, ...] | None:
    return None if reading.labels is None else tuple(reading.labels.tolist())


def _choose_rows(reading: TextReading, digest: str, settings: DataSettings, seed: int) -> TextDraft:
    """Find the target, and leave out what cannot be learned from."""
    filled = np.array([bool(text.strip()) for text in reading.texts])
    target, values, known = None, None, np.ones(len(filled), dtype=bool)
    notes = []
    if settings.text_task == "label":
        if reading.labels is None:
            raise DataError(
                "the texts have no labels to learn",
                place=reading.place,
                remedy="name the column of labels with --target, or predict each next token (text_task next_token)",
            )
        target = infer_target(reading.labels, str(reading.target_name), settings.task, place=reading.place)
        values = encode_target(target, reading.labels, place=reading.place)
        known = values != NO_CLASS if target.classes is not None else ~np.isnan(values)
        notes.append(target.note)
    used = np.flatnonzero(filled & known)
    without_text, without_target = int((~filled & known).sum()), int((~known).sum())
    if without_text:
        notes.append(f"{without_text} rows without any text are left out.")
    if without_target:
        notes.append(f"{without_target} rows without a target are left out.")
    if not filled.any():
        place = f"{reading.place}, column {reading.text_name!r}"
        raise DataError("there is no text in any row", place=place, remedy="name another column with --text")
    stratify = values[used] if values is not None and target is not None and target.classes is not None else None
    rows = draw_rows(stratify, used, settings.limit, seed)
    if len(rows) < len(used):
        notes.append(f"{len(rows)} of {len(used)} texts are used (limit).")
    draft = TextDraft(reading, digest, rows, values, target, notes=notes)
    draft.without_text, draft.without_target = without_text, without_target
    return draft


def _encode(preparation: TextPreparation, draft: TextDraft, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of some rows."""
    values = None if draft.values is None else draft.values[draft.rows[positions]]
    inputs, targets = preparation.encode(draft.texts(positions), values)
    if targets is None:
        raise DataError("the texts have no labels to learn", place=draft.reading.place)
    return inputs, targets
