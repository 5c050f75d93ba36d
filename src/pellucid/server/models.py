"""What the server says in JSON: the shapes of its answers and of the live connection's messages.

They become the front end's TypeScript types (see ``contract``). A figure that is not finite is null in JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = [
    "MAX_POINTS",
    "AskRequest",
    "ErrorDetail",
    "ErrorMessage",
    "ErrorReply",
    "LiveMessage",
    "ReportData",
    "ResultEntry",
    "RunDetail",
    "RunKind",
    "RunList",
    "RunMessage",
    "RunStatus",
    "RunSummary",
    "RunsMessage",
    "TableName",
    "TableRows",
    "TableSubscription",
    "TableSubscriptions",
    "Version",
    "WatchMessage",
]

RunKind = Literal["fit", "watch", "unknown"]
RunStatus = Literal["running", "finished", "stopped", "failed", "interrupted", "unreadable"]
TableName = Literal["steps", "layers", "histograms", "metrics", "observations", "geometry", "events"]

MAX_POINTS = 20_000
"""The most rows of a series that one frame may carry."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorDetail(_Model):
    """What was wrong, where, and what to do about it; the latter two may be empty."""

    message: str
    where: str
    remedy: str


class ErrorReply(_Model):
    """The body of every answer with a 4xx or 5xx status."""

    error: ErrorDetail


class AskRequest(_Model):
    """A question about one example of a run; `question` is as `pellucid.lenses.trace_questions.answer` takes it."""

    kind: Literal["trace"]
    example: int = Field(ge=0, le=2**53, description="The row of the source, from 0.")
    question: dict[str, JsonValue]


class Version(_Model):
    """Which Pellucid answers, and over which folder."""

    version: str
    runs_dir: str


class RunSummary(_Model):
    """One run in the list. An unreadable one has `status` "unreadable" and says why in `error`."""

    id: str
    name: str
    kind: RunKind
    created_at: str  # ISO-8601, UTC
    updated_at: str
    status: RunStatus
    message: str  # why it failed or stopped
    task: str
    modality: str
    source: str
    model: str  # one line
    parameters: int | None
    device: str
    epochs_planned: int | None
    epoch: int | None
    step: int | None
    metrics: dict[str, float | None]  # headline figures
    error: str


class RunList(_Model):
    """Every run of the folder, newest first."""

    runs: list[RunSummary]


class ResultEntry(_Model):
    """A result kept with a run: its `name` for the address, its `schema` for the view, its `version` for caches."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    name: str
    schema_: Annotated[str, Field(alias="schema")]
    version: str  # another one once the result was replaced; '' where that cannot be told


class TableRows(_Model):
    """How many rows each table of a run holds."""

    steps: int
    layers: int
    histograms: int
    metrics: int
    observations: int
    geometry: int
    events: int


class RunDetail(RunSummary):
    """All that is known of one run but its tables and results, which have addresses of their own."""

    settings: dict[str, JsonValue]
    environment: dict[str, JsonValue]
    command: str
    seed: int | None
    version: str  # the Pellucid that wrote it
    resumes: int  # when it changes, rows may have been numbered anew: read tables from row 0
    warnings: list[str]  # what of the run could not be read; the rest was
    results: list[ResultEntry]
    tables: TableRows


class TableSubscription(_Model):
    """Rows of one table, from row `after` on, thinned to about `points` rows a series."""

    after: Annotated[int, Field(ge=0)] = 0
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] = 2000
    layer: str | None = None
    kind: str | None = None


class TableSubscriptions(_Model):
    """The tables that are watched; a table left out is not."""

    steps: TableSubscription | None = None
    layers: TableSubscription | None = None
    histograms: TableSubscription | None = None
    metrics: TableSubscription | None = None
    observations: TableSubscription | None = None
    geometry: TableSubscription | None = None
    events: TableSubscription | None = None


class WatchMessage(_Model):
    """What a client of the live connection sends: all it wants to hear of from now on."""

    type: Literal["watch"]
    runs: bool = False
    run: str | None = None
    resumes: int | None = None  # as the client last saw it: if it changed since, tables are sent from row 0
    tables: TableSubscriptions = TableSubscriptions()


class RunsMessage(_Model):
    """The list of runs, at once and whenever it changes."""

    type: Literal["runs"]
    runs: list[RunSummary]


class RunMessage(_Model):
    """The watched run, at once and whenever it changes."""

    type: Literal["run"]
    run: RunDetail


class ErrorMessage(_Model):
    """The subscription could not be served (no such run, say); the connection stays open."""

    type: Literal["error"]
    error: ErrorDetail


LiveMessage = Annotated[RunsMessage | RunMessage | ErrorMessage, Field(discriminator="type")]
"""A text frame of the live connection; its binary frames are table frames."""


class ReportData(_Model):
    """What an offline report carries: payloads and table frames in base64."""

    run: RunDetail
    results: dict[str, str]  # name -> payload
    tables: dict[str, str]  # table -> frame
