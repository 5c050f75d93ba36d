"""The routes of the API: runs, their results and their tables."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from pellucid import __version__
from pellucid.errors import SettingsError
from pellucid.server.models import MAX_POINTS, AskRequest, ErrorReply, RunDetail, RunList, TableName, Version

if TYPE_CHECKING:
    from pellucid.results.linear_regions import LinearRegions
    from pellucid.store.run import Run

__all__ = ["ask_run", "read_part", "read_result", "read_run", "read_runs", "read_table", "read_version", "router"]

router = APIRouter(prefix="/api", responses={"4XX": {"model": ErrorReply}})

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}

_LOOK_S = 0.25
"""How often it is asked whether the page still waits for its answer."""

RunId = Annotated[str, Path(max_length=200, description="The name of the run's folder.")]


@router.get("/version", operation_id="read_version")
def read_version(request: Request) -> Version:
    """Which Pellucid answers, and over which folder."""
    return Version(version=__version__, runs_dir=str(request.app.state.runs_dir))


@router.get("/runs", operation_id="read_runs", response_model=RunList)
def read_runs(request: Request) -> Response:
    """Every run of the folder, newest first."""
    return _json(RunList(runs=request.app.state.index.read()))


@router.get("/runs/{run_id}", operation_id="read_run", response_model=RunDetail)
def read_run(request: Request, run_id: RunId) -> Response:
    """All that is known of one run but its tables and results, which have addresses of their own."""
    from pellucid.server.describe import describe_run
    from pellucid.store.run import find_run

    return _json(describe_run(find_run(run_id, request.app.state.runs_dir)))


@router.get("/runs/{run_id}/results/{name}", operation_id="read_result", response_class=Response, responses=_BYTES)
def read_result(
    request: Request,
    run_id: RunId,
    name: str,
    *,
    slim: Annotated[bool, Query(description="Leave out what no view draws, of results that hold such.")] = False,
    brief: Annotated[bool, Query(description="Only what moments of training are compared by.")] = False,
) -> Response:
    """A result's payload, a safetensors buffer: as it lies on disk, unless slim, without what no view draws, or brief.

    Slim linear regions are what their first drawing needs; the rest is had part by part.
    """
    from pellucid.server.describe import schema_of
    from pellucid.server.slimming import brief_payload, slim_payload
    from pellucid.store.run import find_run

    run = find_run(run_id, request.app.state.runs_dir)
    if brief:
        return _binary(brief_payload(run.result(name)) or run.result_bytes(name))
    if not slim:
        return _binary(run.result_bytes(name))
    if schema_of(run, name).startswith("linear_regions/"):
        from pellucid.server.region_parts import pack_picture

        return _binary(pack_picture(_regions(request, run, name)))
    return _binary(slim_payload(run.result(name)) or run.result_bytes(name))


@router.get("/runs/{run_id}/results/{name}/part", operation_id="read_part", response_class=Response, responses=_BYTES)
def read_part(
    request: Request,
    run_id: RunId,
    name: str,
    *,
    what: Literal["cell", "state", "active", "pattern", "slope", "bends"],
    cell: Annotated[int, Query(ge=0)] = 0,
    layer: Annotated[int, Query(ge=-1, description="-1 for all of them.")] = -1,
    unit: Annotated[int, Query(ge=-1, description="-1 for all of them.")] = -1,
    output: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A part of linear regions: what one cell is, a figure of every cell, or where an operation bends the network."""
    from pellucid.server.region_parts import PartQuery, pack_part
    from pellucid.store.run import find_run

    run = find_run(run_id, request.app.state.runs_dir)
    query = PartQuery(what, cell=cell, layer=layer, unit=unit, output=output)
    return _binary(pack_part(_regions(request, run, name), query))


@router.get("/runs/{run_id}/tables/{table}", operation_id="read_table", response_class=Response, responses=_BYTES)
def read_table(
    request: Request,
    run_id: RunId,
    table: TableName,
    *,
    after: Annotated[int, Query(ge=0, description="The first row wanted, counted over the whole table.")] = 0,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS, description="About how many rows a series may have.")] = 2000,
    layer: Annotated[str | None, Query(max_length=1000)] = None,
    kind: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Rows of a table as a frame, thinned so that the extremes of every column stay."""
    from pellucid.server.frames import build_frame
    from pellucid.store.run import find_run

    run = find_run(run_id, request.app.state.runs_dir)
    return _binary(build_frame(run, table, after=after, points=points, layer=layer, kind=kind).payload)


@router.post("/runs/{run_id}/ask", operation_id="ask_run", response_class=Response, responses=_BYTES)
async def ask_run(request: Request, run_id: RunId, asked: AskRequest) -> Response:
    """A question that needs the network itself; the answer is a result's payload. Nothing in the run changes."""
    desk = request.app.state.desk
    subject = {"kind": asked.kind, "example": asked.example}
    future = await asyncio.to_thread(desk.submit, run_id, subject, asked.question)
    waiting = asyncio.wrap_future(future)
    try:
        while not (await asyncio.wait({waiting}, timeout=_LOOK_S))[0]:
            if await request.is_disconnected():
                break
        else:
            return _binary(waiting.result())
    finally:
        if not future.done():
            desk.forget(future)
            waiting.cancel()
    return Response(status_code=204)  # nobody reads it


def _regions(request: Request, run: Run, name: str) -> LinearRegions:
    """Linear regions, kept for the next question.

    Raises:
        SettingsError: the result is something else.
    """
    from pellucid.results.linear_regions import LinearRegions
    from pellucid.server.describe import version_of

    result = request.app.state.shelf.get((run.location, name, version_of(run, name)), lambda: run.result(name))
    if isinstance(result, LinearRegions):
        return result
    raise SettingsError("only linear regions are had in parts", place=name, remedy="ask for the whole result")


def _json(model: RunList | RunDetail) -> Response:
    return Response(model.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})


def _binary(payload: bytes) -> Response:
    return Response(payload, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})
