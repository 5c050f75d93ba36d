"""Folders on any file system: whole files written atomically, read, listed and deleted.

A local folder needs nothing but Python, so that runs are listed without importing pyarrow. Everything else goes
through ``pyarrow.fs``, or through fsspec where pyarrow does not know the scheme.
"""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import errno
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import RunCorruptedError, StorageError
from pellucid.store.locations import check_relative_path, is_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["PARTIAL", "Folder", "LocalFolder", "RemoteFolder", "explain_storage_error", "open_folder"]

PARTIAL = ".partial"
"""Ending of a file that is still being written; nobody reads it."""


class Folder(ABC):
    """A folder whose files are written whole. Paths are relative, with ``/``, and cannot leave the folder.

    All methods raise ``OSError`` as the file system does, ``FileNotFoundError`` for what is not there.
    """

    location: str
    """Where it is, as a person would write it: a path or a URI."""

    @abstractmethod
    def read(self, relative: str) -> bytes:
        """The whole content of a file."""

    @abstractmethod
    def write(self, relative: str, content: bytes, *, durable: bool = False) -> None:
        """Write a file so that a reader sees the old content, or the new, and nothing between.

        Args:
            relative: Path inside the folder; missing folders are made.
            content: The whole new content.
            durable: Also survive a power cut, at the price of an ``fsync``.
        """

    @abstractmethod
    def delete(self, relative: str) -> None:
        """Delete a file; nothing happens if it is not there."""

    @abstractmethod
    def names(self, relative: str = "") -> list[str]:
        """Sorted names of the files and folders in a subfolder, without unfinished files; empty if it is not there."""

    @abstractmethod
    def exists(self, relative: str) -> bool:
        """Whether a file is there."""

    @abstractmethod
    def child(self, name: str) -> Folder:
        """The subfolder of that name; it need not exist."""

    @abstractmethod
    def open_arrow(self, relative: str) -> Any:
        """The file as a seekable pyarrow source, read lazily. To be closed by the caller."""

    def delete_partials(self, relative: str = "") -> None:  # noqa: B027  # an object store shows nothing unfinished
        """Delete what a killed writer left unfinished. Only for who holds the writer's lock."""


class LocalFolder(Folder):
    """A folder of the local (or mounted) file system; files become visible by rename."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.location = str(path)

    def _inside(self, relative: str) -> Path:
        path = self.path / check_relative_path(relative)
        root = os.path.realpath(self.path)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise RunCorruptedError(
                "a link leads out of the run's folder", place=str(path), remedy="delete the link; runs hold plain files"
            )
        return path

    def read(self, relative: str) -> bytes:
        """The whole content of a file."""
        return self._inside(relative).read_bytes()

    def write(self, relative: str, content: bytes, *, durable: bool = False) -> None:
        """Write beside the target, then rename over it."""
        path = self._inside(relative)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(3)}{PARTIAL}")
        try:
            try:
                file = partial.open("xb")
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = partial.open("xb")
            with file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def delete(self, relative: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        self._inside(relative).unlink(missing_ok=True)

    def names(self, relative: str = "") -> list[str]:
        """Sorted names, without unfinished files."""
        path = self._inside(relative) if relative else self.path
        try:
            return sorted(name for name in os.listdir(path) if not name.endswith(PARTIAL))  # noqa: PTH208  # names only
        except (FileNotFoundError, NotADirectoryError):
            return []

    def exists(self, relative: str) -> bool:
        """Whether a file is there."""
        return self._inside(relative).exists()

    def child(self, name: str) -> LocalFolder:
        """The subfolder of that name."""
        return LocalFolder(self.path / check_relative_path(name))

    def open_arrow(self, relative: str) -> Any:
        """The file as a seekable pyarrow source."""
        import pyarrow as pa

        return pa.OSFile(str(self._inside(relative)), "rb")

    def delete_partials(self, relative: str = "") -> None:
        """Delete what a killed writer left unfinished."""
        top = self._inside(relative) if relative else self.path
        for partial in top.rglob("*" + PARTIAL):
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


class RemoteFolder(Folder):
    """A folder of any pyarrow file system. An object store's put is atomic; elsewhere the file is moved into place."""

    def __init__(self, system: FileSystem, base: str, location: str) -> None:
        self.system = system
        self.base = base.rstrip("/")
        self.location = location.rstrip("/")
        self._puts_atomically = system.type_name in {"s3", "gcs", "abfs"}

    def _at(self, relative: str) -> str:
        return f"{self.base}/{check_relative_path(relative)}" if relative else self.base

    def read(self, relative: str) -> bytes:
        """The whole content of a file."""
        with self.system.open_input_stream(self._at(relative)) as stream:
            return stream.read()

    def write(self, relative: str, content: bytes, *, durable: bool = False) -> None:
        """One put on an object store; elsewhere written beside the target and moved over it."""
        del durable  # such a store is durable, or cannot be made so from here
        path = self._at(relative)
        if self._puts_atomically:
            self._put(path, content)
            return
        partial = f"{path}.{secrets.token_hex(3)}{PARTIAL}"
        self.system.create_dir(path.rpartition("/")[0], recursive=True)
        self._put(partial, content)
        self.system.move(partial, path)

    def _put(self, path: str, content: bytes) -> None:
        with self.system.open_output_stream(path) as stream:
            stream.write(content)

    def delete(self, relative: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        try:
            self.system.delete_file(self._at(relative))
        except OSError:
            if self.exists(relative):
                raise

    def names(self, relative: str = "") -> list[str]:
        """Sorted names, without unfinished files."""
        from pyarrow.fs import FileSelector

        found = self.system.get_file_info(FileSelector(self._at(relative), allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.endswith(PARTIAL))

    def exists(self, relative: str) -> bool:
        """Whether a file is there."""
        from pyarrow.fs import FileType

        return self.system.get_file_info(self._at(relative)).type != FileType.NotFound

    def child(self, name: str) -> RemoteFolder:
        """The subfolder of that name."""
        check_relative_path(name)
        return RemoteFolder(self.system, f"{self.base}/{name}", f"{self.location}/{name}")

    def open_arrow(self, relative: str) -> Any:
        """The file as a seekable pyarrow source."""
        return self.system.open_input_file(self._at(relative))


def open_folder(location: str | Path | Folder) -> Folder:
    """The folder at a local path or at a pyarrow or fsspec URI (``s3://…``, ``gs://…``, ``memory://…``).

    Raises:
        StorageError: no installed file system knows the URI.
    """
    if isinstance(location, Folder):
        return location
    if not is_uri(location):
        return LocalFolder(location)
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    uri = str(location)
    try:
        try:
            system, base = FileSystem.from_uri(uri)
        except ArrowInvalid:
            import fsspec

            specification, base = fsspec.url_to_fs(uri)
            system = PyFileSystem(FSSpecHandler(specification))
    except (ImportError, ValueError, OSError) as error:
        raise StorageError(
            f"the storage cannot be opened ({error})",
            place=uri,
            remedy="check the address, or install the fsspec file system for its scheme",
        ) from error
    return RemoteFolder(system, base, uri)


def explain_storage_error(error: OSError, place: str, option: str = "--runs-dir") -> StorageError:
    """Turn what the operating system said into what was wrong and what to do: name another place by ``option``."""
    explained = {
        errno.ENOSPC: ("the disk is full", "free some space, or choose another folder with --runs-dir"),
        errno.EDQUOT: ("the disk quota is used up", "free some space, or choose another folder with --runs-dir"),
        errno.EFBIG: (
            "the file grew beyond the size allowed here",
            "raise the limit (ulimit -f), or choose another folder",
        ),
        errno.EACCES: ("the folder cannot be written", "change its permissions, or choose another with --runs-dir"),
        errno.EPERM: ("the folder cannot be written", "change its permissions, or choose another with --runs-dir"),
        errno.EROFS: ("the file system is read-only", "choose another folder with --runs-dir"),
        errno.ENOTDIR: ("a file stands where a folder is needed", "choose another folder with --runs-dir"),
        errno.EEXIST: ("a file stands where a folder is needed", "choose another folder with --runs-dir"),
        errno.ENAMETOOLONG: ("the name is too long for the file system", "choose a shorter one"),
    }
    what, remedy = explained.get(
        error.errno or 0, (f"the storage failed ({error})", "check the folder, or choose another with --runs-dir")
    )
    return StorageError(what, place=place, remedy=remedy.replace("--runs-dir", option))
