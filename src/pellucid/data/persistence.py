"""A fitted preparation on disk: a JSON document, arrays, and scikit-learn parts, none of them pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pellucid.errors import RunCorruptedError, RunTooNewError

__all__ = ["DOCUMENT", "load_estimator", "read_document", "save_estimator", "write_document"]

DOCUMENT = "preparation.json"

_TRUSTED = {
    "numpy.dtype",
    "pellucid.data.preprocessing.DateParts",
    "pellucid.data.preprocessing.Winsorizer",
}
"""Classes that may stand in a saved estimator, beside those that skops itself trusts."""


def write_document(folder: Path, document: dict[str, Any], *, modality: str, version: int = 1) -> None:
    """Write ``preparation.json`` with its modality and version into ``folder`` (made if need be), by atomic rename."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (DOCUMENT + ".partial")
    text = json.dumps({"modality": modality, "version": version, **document}, ensure_ascii=False, indent=1)
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / DOCUMENT)


def read_document(folder: Path, *, modality: str | None = None, newest: int = 1) -> dict[str, Any]:
    """Read ``preparation.json`` of ``folder``.

    Raises:
        RunCorruptedError: it is missing, damaged, or of another modality.
        RunTooNewError: its version is above ``newest``.
    """
    path = Path(folder) / DOCUMENT
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunCorruptedError("the fitted preparation is missing", place=str(path), remedy="fit again") from None
    except ValueError:
        raise RunCorruptedError("the fitted preparation is damaged", place=str(path), remedy="fit again") from None
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise RunCorruptedError("this is not a fitted preparation", place=str(path), remedy="fit again")
    if modality is not None and document.get("modality") != modality:
        raise RunCorruptedError(f"this prepares {document.get('modality')} data, not {modality}", place=str(path))
    if document["version"] > newest:
        raise RunTooNewError(
            "the preparation was written by a newer Pellucid", place=str(path), remedy="update Pellucid"
        )
    return document


def save_estimator(path: Path, estimator: Any) -> None:
    """Write a fitted scikit-learn estimator as a skops file."""
    import skops.io

    path.write_bytes(skops.io.dumps(estimator))


def load_estimator(path: Path) -> Any:
    """Read an estimator that ``save_estimator`` wrote.

    Raises:
        RunCorruptedError: the file is missing or damaged, or holds a class that is neither scikit-learn's nor ours.
    """
    import skops.io

    try:
        payload = Path(path).read_bytes()
        strangers = set(skops.io.get_untrusted_types(data=payload)) - _TRUSTED
        if not strangers:
            return skops.io.loads(payload, trusted=sorted(_TRUSTED))
    except Exception as error:  # a damaged archive surfaces as almost any exception inside the reader
        raise RunCorruptedError(
            f"the fitted preprocessing cannot be read ({error})", place=str(path), remedy="fit again"
        ) from error
    raise RunCorruptedError(
        f"the fitted preprocessing holds foreign classes: {', '.join(sorted(strangers))}",
        place=str(path),
        remedy="do not use this run, it was tampered with",
    )
