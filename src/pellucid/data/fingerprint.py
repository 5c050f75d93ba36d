"""Is this the same data as before? A SHA-256 over what a source holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pellucid.errors import SourceNotFoundError

__all__ = ["fingerprint"]

_BLOCK = 1 << 20


def fingerprint(path: str | Path) -> str:
    """The SHA-256 (hexadecimal) of a file's bytes, or of a folder's relative names, sizes and bytes.

    Two folders with the same files under the same names have the same fingerprint wherever they lie.

    Raises:
        SourceNotFoundError: there is nothing at ``path``.
    """
    path = Path(path)
    if not path.exists():
        raise SourceNotFoundError("there is no such file or folder", place=str(path), remedy="check the spelling")
    digest = hashlib.sha256()
    if path.is_file():
        _add_file(digest, path)
        return digest.hexdigest()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        _add_file(digest, file)
    return digest.hexdigest()


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    """Feed a file's bytes to the digest, block by block."""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
