"""What every result can do: save, load, plot, become a frame, show itself."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pellucid.errors import RunCorruptedError, RunTooNewError
from pellucid.results import codec, rendering

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

__all__ = ["Result", "result_type"]

_TYPES: dict[str, type[Result]] = {}
"""Result classes by the stem of their schema."""


@dataclass(frozen=True, eq=False)
class Result:
    """A frozen record of numbers, texts, NumPy arrays and nested records.

    A subclass is a frozen dataclass with a ``schema`` name ``"<stem>/<version>"``. Its fields may be ``bool``,
    ``int``, ``float``, ``str``, ``None``, ``Literal``, NumPy arrays, other frozen dataclasses, and tuples of, or
    string-keyed dictionaries to, any of these. When a field changes meaning, the version goes up and
    ``upgrade`` learns to read the older document.
    """

    schema: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__repr__ = Result.__repr__  # dataclasses would write one that lists every array
        if cls.schema:
            _TYPES[cls.schema.split("/")[0]] = cls

    @classmethod
    def upgrade(cls, document: dict[str, Any], version: int) -> dict[str, Any]:
        """Turn the document of an older schema version into the present one's."""
        raise RunCorruptedError(
            f"{cls.__name__} has no version {version}", remedy="measure it again with this Pellucid"
        )

    def to_bytes(self) -> bytes:
        """The payload, one form for disk, wire and report: a safetensors buffer with the document in its metadata."""
        document, arrays = codec.encode(self)
        return codec.pack({"schema": self.schema, **document}, arrays)

    @classmethod
    def from_bytes(cls, payload: bytes, *, place: str = "") -> Self:
        """Read a payload back; called on ``Result`` it finds the class by the schema name."""
        document, arrays = codec.unpack(payload, place=place)
        schema = str(document.pop("schema", ""))
        target = result_type(schema, place=place)
        if not issubclass(target, cls):
            raise RunCorruptedError(f"this is a {target.__name__}, not a {cls.__name__}", place=place)
        if _version(schema) > _version(target.schema):
            raise RunTooNewError(f"{schema} was written by a newer Pellucid", place=place, remedy="update Pellucid")
        if _version(schema) < _version(target.schema):
            document = target.upgrade(document, _version(schema))
        return codec.decode(target, document, arrays, place=place)

    def save(self, path: str | Path) -> Path:
        """Write the payload to ``path`` (by atomic rename) and return it."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(self.to_bytes())
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result that ``save`` wrote. Nothing is ever unpickled."""
        return cls.from_bytes(Path(path).read_bytes(), place=str(path))

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the result on matplotlib Axes (new ones unless given) and return them."""
        return rendering.render(self, "plot", ax=ax, **options)

    def to_frame(self, **options: Any) -> pandas.DataFrame:
        """The result's main numbers as a pandas DataFrame."""
        return rendering.render(self, "frame", **options)

    def __rich__(self) -> Any:
        return rendering.render(self, "rich")

    def __repr__(self) -> str:
        """What an interactive session shows: the text where there is one, else what it is."""
        try:
            return str(self)
        except Exception:  # half-made results are looked at too, in a debugger
            return f"<{type(self).__name__} {self.schema}>"

    def __str__(self) -> str:
        return rendering.render(self, "text")

    def _repr_html_(self) -> str:
        return rendering.render(self, "html")

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, Any] | None:
        return rendering.notebook_bundle(self)


def result_type(schema: str, *, place: str = "") -> type[Result]:
    """The class of a schema name: ``data_report/1`` lives in ``pellucid.results.data_report``."""
    stem, _, version = schema.partition("/")
    if stem not in _TYPES and stem.isidentifier() and importlib.util.find_spec(f"{__package__}.{stem}"):
        importlib.import_module(f"{__package__}.{stem}")
    if stem not in _TYPES or not version.isdigit():
        raise RunCorruptedError(f"unknown result schema {schema!r}", place=place, remedy="update Pellucid")
    return _TYPES[stem]


def _version(schema: str) -> int:
    return int(schema.partition("/")[2])
