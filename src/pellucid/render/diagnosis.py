"""A diagnosis as a report of findings, a table of them, and their curves."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from pellucid.render.parts import ACCENT, PALETTE, QUIET, line_style, make_axes, number
from pellucid.results.diagnosis import Diagnosis, EvidenceFigure, Finding, LineChange
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group, RenderableType
    from rich.text import Text

__all__: list[str] = []

_STEM = "diagnosis"
_COLOURS = {"fault": "bold red", "warning": "yellow", "note": "dim"}


@renderer(_STEM, "rich")
def _rich(result: Diagnosis) -> Group:
    """The verdict, then each finding in full; notes in one line each; at the end what was looked for."""
    from rich.console import Group
    from rich.text import Text

    style = "bold red" if result.verdict == "faulty" else "bold green"
    parts: list[RenderableType] = [Text(_verdict(result), style=style)]
    for finding in result.findings:
        parts.append(Text(""))
        parts.extend(_note(finding) if finding.severity == "note" else _full(finding))
    parts.append(Text(""))
    parts.append(Text(_looked_for(result), style="dim"))
    return Group(*parts)


def _verdict(result: Diagnosis) -> str:
    faults = sum(finding.severity == "fault" for finding in result.findings)
    warnings = sum(finding.severity == "warning" for finding in result.findings)
    if faults:
        return f"Faulty: {faults} {'fault' if faults == 1 else 'faults'} found"
    beside = f", {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
    return f"Healthy: no fault found{beside}"


def _full(finding: Finding) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    head = Text.assemble(
        (f"{finding.severity} ", _COLOURS[finding.severity]),
        (finding.code, "bold"),
        f"  {finding.certainty:.0%} certain",
        f", {finding.kind}",
    )
    lines: list[Text] = [Text(finding.title, style="bold")]
    if where := _where(finding):
        lines.append(Text(where, style="cyan"))
    lines.append(Text(finding.why))
    lines.extend(Text(f"· {_figure(one)}") for one in finding.evidence)
    lines.append(Text.assemble(("Do: ", "bold"), finding.fix))
    for change in finding.changes:
        lines.extend(_diff(change))
    if finding.tried is not None:
        said, style = ("Tried, and it helped: ", "green") if finding.tried.improved else ("Tried: ", "yellow")
        lines.append(Text.assemble((said, f"bold {style}"), finding.tried.said))
    lines.append(Text(f"Wrong if: {finding.disproof}", style="dim"))
    lines.extend(Text(f"beneath it: {said}", style="dim") for said in finding.symptoms)
    return [head, *(Padding(line, (0, 0, 0, 2)) for line in lines)]


def _note(finding: Finding) -> list[RenderableType]:
    from rich.text import Text

    return [Text(f"note {finding.code}  {finding.title}", style="dim")]


def _where(finding: Finding) -> str:
    place = finding.where.place
    parts: list[str] = []
    if place.line:
        parts.append(f"{place.file}:{place.line}  {place.text}")
    if finding.where.layer:
        parts.append(f"layer {finding.where.layer}")
    if finding.where.parameter:
        parts.append(f"parameter {finding.where.parameter}")
    if finding.since_step > 0:
        parts.append(f"since step {finding.since_step:,}")
    return "; ".join(parts)


def _figure(one: EvidenceFigure) -> str:
    share = one.unit == "share" and math.isfinite(one.value)
    value = f"{one.value:.0%}" if share else number(one.value) + (f" {one.unit}" if one.unit and not share else "")
    return f"{one.name}: {value}" + (f" (expected: {one.expected})" if one.expected else "")


def _diff(change: LineChange) -> list[Text]:
    from rich.text import Text

    lines = [Text(f"  {change.file}:{change.line}", style="dim")]
    lines += [Text(f"  - {line}", style="red") for line in change.before]
    return lines + [Text(f"  + {line}", style="green") for line in change.after]


def _looked_for(result: Diagnosis) -> str:
    said = f"{len(result.checked)} possible causes and symptoms were looked for. {result.coverage}"
    if result.unchecked:
        said += f" Not looked for: {'; '.join(result.unchecked)}."
    return said


@renderer(_STEM, "frame")
def _frame(result: Diagnosis) -> pandas.DataFrame:
    """One row a finding."""
    import pandas

    rows = [
        (
            finding.code,
            finding.kind,
            finding.severity,
            finding.certainty,
            finding.title,
            finding.where.layer,
            finding.where.parameter,
            finding.where.place.file,
            finding.where.place.line,
            finding.since_step,
            finding.fix,
        )
        for finding in result.findings
    ]
    place = ["layer", "parameter", "file", "line"]
    names = ["code", "kind", "severity", "certainty", "title", *place, "since_step", "fix"]
    return pandas.DataFrame(rows, columns=pandas.Index(names)).set_index("code")


@renderer(_STEM, "plot")
def _plot(result: Diagnosis, ax: Axes | None = None, *, finding: int = 0) -> Axes:
    """Draw the first curve of a finding: of the most certain one, unless another number is given."""
    ax = make_axes(ax)
    if not result.findings:
        ax.text(0.5, 0.5, "nothing found", ha="center", va="center", transform=ax.transAxes, color=QUIET)
        ax.set_axis_off()
        return ax
    chosen = result.findings[finding]
    for place, one in enumerate(chosen.curves[:1]):
        colour, dash = line_style(place)
        ax.plot(one.x, one.y, color=colour, linestyle=dash, label=one.name)
        if math.isfinite(one.level):
            ax.axhline(one.level, color=QUIET, linestyle="--", label=one.level_name)
        ax.set_xlabel(one.x_name)
        ax.set_ylabel(one.name)
    if chosen.since_step > 0:
        ax.axvline(chosen.since_step, color=ACCENT, linestyle=":", label="since here")
    ax.set_title(chosen.title)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small")
    return ax


@renderer(_STEM, "html")
def _html(result: Diagnosis) -> str:
    """The verdict and each finding with its evidence and change."""
    parts = [f"<h3>{html.escape(_verdict(result))}</h3>"]
    for finding in result.findings:
        parts.append(_note_html(finding) if finding.severity == "note" else _full_html(finding))
    parts.append(f"<p><small>{html.escape(_looked_for(result))}</small></p>")
    return f"<section class='pellucid-result'>{''.join(parts)}</section>"


def _note_html(finding: Finding) -> str:
    return f"<p><small>note <code>{html.escape(finding.code)}</code> {html.escape(finding.title)}</small></p>"


def _full_html(finding: Finding) -> str:
    colour = PALETTE[5] if finding.severity == "fault" else PALETTE[1]
    figures = "".join(f"<li>{html.escape(_figure(one))}</li>" for one in finding.evidence)
    changes = "".join(f"<pre>{html.escape(_diff_text(change))}</pre>" for change in finding.changes)
    beneath = "".join(f"<li>beneath it: {html.escape(said)}</li>" for said in finding.symptoms)
    return (
        f"<article style='border-left:3px solid {colour};padding-left:.8em;margin:1em 0'>"
        f"<h4>{html.escape(finding.title)}</h4>"
        f"<p>{finding.severity} <code>{html.escape(finding.code)}</code>, {finding.certainty:.0%} certain. "
        f"{html.escape(_where(finding))}</p>"
        f"<p>{html.escape(finding.why)}</p><ul>{figures}{beneath}</ul>"
        f"<p><b>{html.escape(finding.fix)}</b></p>{changes}"
        f"<p><small>Wrong if: {html.escape(finding.disproof)}</small></p></article>"
    )


def _diff_text(change: LineChange) -> str:
    lines = [f"{change.file}:{change.line}", *(f"- {line}" for line in change.before)]
    return "\n".join([*lines, *(f"+ {line}" for line in change.after)])
