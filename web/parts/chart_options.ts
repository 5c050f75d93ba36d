/** From what a chart is asked to show to what uPlot wants to hear. */

import uPlot from "uplot";
import { formatNumber, formatShort } from "./format";
import { resolveColor } from "./theme.svelte";

export interface ChartSeries {
  readonly label: string;
  readonly values: ArrayLike<number | null | undefined>;
  /** A CSS colour or `var(--token)`. */
  readonly color: string;
  readonly dashed?: boolean;
  readonly width?: number;
  /** Drawn behind and lighter: the raw values under a smoothed line. */
  readonly faint?: boolean;
  /** Mark every value with a dot. */
  readonly points?: boolean;
  /** `false` leaves the dots alone. */
  readonly line?: boolean;
  /** Mark NaN and infinite values on the rim; for series in which NaN does not mean "not measured". */
  readonly markGaps?: boolean;
  /** Not in the legend. */
  readonly unlisted?: boolean;
  /** Computed from another series, so that its outliers are that one's. */
  readonly derived?: boolean;
  readonly format?: (value: number) => string;
}

/** A vertical line: an event, the best epoch, a suggested rate. */
export interface ChartMark {
  readonly x: number;
  readonly label: string;
  readonly color?: string;
  /** Shaded from `x` up to here. */
  readonly until?: number;
}

/** A filled region between two curves. */
export interface ChartBand {
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
  readonly color: string;
}

export interface ChartLook {
  readonly series: readonly ChartSeries[];
  readonly bands: readonly ChartBand[];
  readonly hidden: ReadonlySet<string>;
  readonly log: boolean;
  readonly logX: boolean;
  readonly sync: string | undefined;
  readonly xLabel: string | undefined;
  readonly yLabel: string | undefined;
  readonly xFormat: ((value: number) => string) | undefined;
  readonly yFormat: ((value: number) => string) | undefined;
  /** Ticks that differ by `increment`; `yFormat` unless given. */
  readonly yTick: ((value: number, increment: number) => string) | undefined;
  readonly xRange: readonly [number, number] | undefined;
  readonly yRange: readonly [number, number] | undefined;
  readonly compact: boolean;
}

/** What changes while a chart stands: read by the drawing hooks at each redraw. */
export interface ChartState {
  readonly marks: readonly ChartMark[];
  readonly gaps: readonly { readonly x: number; readonly color: string }[];
  /** The top of the scale where what lies above is only marked; null: everything fits. */
  readonly most: number | null;
  /** What lies above it; the largest says its value. */
  readonly beyond: readonly { readonly x: number; readonly color: string; readonly label: string }[];
}

/** The share of values that may stand apart, and how many there must be at least. */
const APART = { share: 0.02, least: 8 };

/** The top of a scale on which a few values, so many times as large, do not flatten the rest; null: there are none. */
export function topWithoutOutliers(series: readonly ChartSeries[], times: number): number | null {
  const tops = series.filter(({ derived }) => !derived).map(({ values }) => topsOf(values));
  const most = Math.max(...tops.map((top) => top.most));
  const rest = Math.max(...tops.map((top) => top.rest));
  return rest > 0 && most > times * rest ? rest : null;
}

/** The largest value, and the largest but for a few. */
function topsOf(values: ArrayLike<number | null | undefined>): { readonly most: number; readonly rest: number } {
  const known = Float64Array.from(Array.prototype.filter.call(values, Number.isFinite) as number[]).sort();
  const most = known[known.length - 1] ?? -Infinity;
  if (known.length < APART.least) return { most, rest: most };
  return { most, rest: known[known.length - 1 - Math.max(1, Math.floor(known.length * APART.share))] ?? most };
}

/** The values above the top of the scale. */
export function findBeyond(
  x: ArrayLike<number>,
  series: readonly ChartSeries[],
  most: number | null,
  format: (value: number) => string,
): ChartState["beyond"] {
  if (most === null) return [];
  const found = series.flatMap(({ values, color, derived }) =>
    Array.from(derived ? [] : x).flatMap((at, index) => {
      const value = values[index];
      return typeof value === "number" && Number.isFinite(value) && value > most ? [{ x: at, color, value }] : [];
    }),
  );
  const largest = found.reduce((best, one) => Math.max(best, one.value), -Infinity);
  let told = false;
  return found.map(({ x: at, color, value }) => {
    const label = value === largest && !told ? format(value) : "";
    told ||= label !== "";
    return { x: at, color, label };
  });
}

type Points = (number | null | undefined)[];

/**
 * uPlot's data: finite numbers, null for a gap, undefined where a series has no value at this x (the line goes on).
 * Logarithmic scales have no place for zero and below.
 */
export function chartData(x: ArrayLike<number>, look: Pick<ChartLook, "series" | "bands" | "log">): uPlot.AlignedData {
  const columns = [
    ...look.bands.flatMap((band) => [band.high, band.low]),
    ...look.series.map((series) => series.values),
  ].map((values) => drawable(values, x.length, look.log));
  return [Array.from(x), ...columns] as uPlot.AlignedData;
}

function drawable(values: ArrayLike<number | null | undefined>, length: number, log: boolean): Points {
  const out: Points = new Array<number | null | undefined>(length);
  for (let index = 0; index < length; index++) {
    const value = values[index];
    if (value === undefined) out[index] = undefined;
    else out[index] = value !== null && Number.isFinite(value) && (!log || value > 0) ? value : null;
  }
  return out;
}

/** Where series that ask for it are NaN or infinite. */
export function findGaps(x: ArrayLike<number>, series: readonly ChartSeries[]): ChartState["gaps"] {
  const gaps: { x: number; color: string }[] = [];
  for (const { values, color, markGaps } of series) {
    if (!markGaps) continue;
    for (let index = 0; index < x.length; index++) {
      const value = values[index];
      if (typeof value === "number" && !Number.isFinite(value)) gaps.push({ x: x[index] ?? 0, color });
    }
  }
  return gaps;
}

/** uPlot's options for a look. `state` is asked at each redraw; `onCursor` hears the index under the cursor. */
export function chartOptions(
  look: ChartLook,
  size: { width: number; height: number },
  state: () => ChartState,
  onCursor: (index: number | null) => void,
): uPlot.Options {
  return {
    ...size,
    padding: [8, 10, look.compact ? 4 : 0, look.compact ? 4 : 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: true },
      points: { size: 7, width: 2, fill: () => resolveColor("--surface") },
      ...(look.sync ? { sync: { key: look.sync, setSeries: false } } : {}),
    },
    scales: { x: xScale(look), y: yScale(look, () => (look.log ? null : state().most)) },
    axes: [xAxis(look), yAxis(look)],
    series: [{}, ...look.bands.flatMap(bandSeries), ...look.series.map((series) => lineSeries(series, look.hidden))],
    bands: look.bands.map((band, index) => ({
      series: [2 * index + 1, 2 * index + 2],
      fill: () => withOpacity(band.color, "24"),
    })),
    hooks: {
      setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)],
      draw: [(plot) => drawMarks(plot, state())],
    },
  };
}

function xScale(look: ChartLook): uPlot.Scale {
  const scale: uPlot.Scale = { time: false, distr: look.logX ? 3 : 1 };
  return look.xRange ? { ...scale, range: [...look.xRange] } : scale;
}

function yScale(look: ChartLook, most: () => number | null): uPlot.Scale {
  const scale: uPlot.Scale = { distr: look.log ? 3 : 1 };
  if (look.yRange) return { ...scale, range: [...look.yRange] };
  return { ...scale, range: (_, low, high) => yRange(low, Math.min(high, most() ?? high), look.log) };
}

/** uPlot's own range; where nothing can be drawn any, so that the axes stand all the same. */
function yRange(low: number | null, high: number | null, log: boolean): uPlot.Range.MinMax {
  if (low === null || high === null) return log ? [0.1, 10] : [0, 1];
  return log ? uPlot.rangeLog(low, high, 10, false) : uPlot.rangeNum(low, high, 0.1, true);
}

const AXIS_FONT = '11px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

function axis(label: string | undefined): uPlot.Axis {
  return {
    font: AXIS_FONT,
    labelFont: AXIS_FONT,
    stroke: () => resolveColor("--ink-3"),
    grid: { stroke: () => resolveColor("--grid"), width: 1 },
    ticks: { show: false },
    gap: 6,
    ...(label ? { label, labelSize: 18, labelGap: 2 } : {}),
  };
}

function xAxis(look: ChartLook): uPlot.Axis {
  const format = look.xFormat ?? formatShort;
  return {
    ...axis(look.xLabel),
    size: 26,
    space: 56,
    show: !look.compact,
    grid: { show: false },
    values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))),
  };
}

function yAxis(look: ChartLook): uPlot.Axis {
  const format = look.yTick ?? look.yFormat ?? ((value: number) => formatNumber(value, 3));
  const plain = axis(look.yLabel);
  return {
    ...plain,
    ...(look.log ? { grid: { ...plain.grid, filter: (_, splits) => splits.map(keepPowersOfTen) } } : {}),
    space: look.log ? 18 : 30,
    show: !look.compact,
    size: (plot, labels) => axisWidth(plot, labels),
    values: (plot, ticks, _, __, increment) =>
      (look.log ? thinDecades(ticks, plot.bbox.height / uPlot.pxRatio) : ticks).map((tick) =>
        tick === null ? "" : format(tick, increment),
      ),
  };
}

/** Of very many powers of ten only some keep their label, so that none lies on another. */
export function thinDecades(ticks: readonly (number | null)[], height: number): (number | null)[] {
  const powers = ticks.flatMap((tick) => (tick === null ? [] : Math.log10(tick)));
  const stride = Math.ceil((Math.max(...powers) - Math.min(...powers)) * (LABEL_HEIGHT / Math.max(1, height)));
  if (!(stride > 1)) return [...ticks];
  let kept = -Infinity;
  return ticks.map((tick) => {
    if (tick === null || Math.log10(tick) - kept < stride - 1e-9) return null;
    kept = Math.log10(tick);
    return tick;
  });
}

const LABEL_HEIGHT = 16;

function keepPowersOfTen(value: number): number | null {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-9 ? value : null;
}

/** At least 44 px, so that charts stacked over one another line up. */
function axisWidth(plot: uPlot, labels: readonly string[] | null): number {
  if (!labels?.length) return 44;
  const longest = labels.reduce((best, text) => (text && text.length > best.length ? text : best), "");
  plot.ctx.save();
  plot.ctx.font = AXIS_FONT;
  const width = plot.ctx.measureText(longest).width;
  plot.ctx.restore();
  return Math.max(44, Math.ceil(width) + 14);
}

function bandSeries(): uPlot.Series[] {
  return [0, 1].map(() => ({ stroke: "transparent", width: 0, points: { show: false } }));
}

function lineSeries(series: ChartSeries, hidden: ReadonlySet<string>): uPlot.Series {
  const stroke = () => (series.faint ? withOpacity(series.color, "50") : resolveColor(series.color));
  const onlyDots = series.line === false;
  return {
    label: series.label,
    show: !hidden.has(series.label),
    stroke,
    width: onlyDots ? 0 : (series.width ?? (series.faint ? 1 : 1.75)),
    spanGaps: false,
    ...(series.dashed ? { dash: [5, 4] } : {}),
    points: {
      show: series.points || onlyDots ? true : isolatedOnly,
      size: onlyDots ? 4 : 5,
      fill: stroke,
      stroke,
      width: 0,
    },
  };
}

/** A lone value between two gaps would be invisible as a line: show the dots of very short series. */
function isolatedOnly(plot: uPlot, index: number): boolean {
  const values = plot.data[index];
  return values !== undefined && values.length <= 3;
}

/** A six-digit hex colour with an alpha byte. */
function withOpacity(color: string, alpha: string): string {
  const resolved = resolveColor(color);
  return /^#[\da-f]{6}$/i.test(resolved) ? resolved + alpha : resolved;
}

function drawMarks(plot: uPlot, { marks, gaps, beyond }: ChartState): void {
  const { ctx, bbox } = plot;
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${10.5 * ratio}px ui-sans-serif, system-ui, sans-serif`;
  ctx.lineWidth = ratio;
  for (const mark of marks) drawMark(plot, mark, ratio);
  for (const gap of gaps) {
    const x = rimPlace(plot, gap.x);
    if (x !== null) triangle(ctx, x, bbox.top + 4 * ratio, 6 * ratio, resolveColor("--bad"));
  }
  let told: { readonly x: number; readonly label: string } | null = null;
  for (const one of beyond) {
    const x = rimPlace(plot, one.x);
    if (x === null) continue;
    triangle(ctx, x, bbox.top + 8 * ratio, -7 * ratio, resolveColor(one.color));
    if (one.label) told = { x, label: one.label };
  }
  if (told) {
    const leftward = told.x > bbox.left + bbox.width * 0.7;
    const wide = ctx.measureText(told.label).width;
    const left = leftward ? told.x - 7 * ratio - wide : told.x + 7 * ratio;
    ctx.fillStyle = resolveColor("--surface");
    ctx.fillRect(left - 2 * ratio, bbox.top, wide + 4 * ratio, 12 * ratio);
    ctx.fillStyle = resolveColor("--ink-2");
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    ctx.fillText(told.label, left, bbox.top + ratio);
  }
  ctx.restore();
}

/** A place of the x axis in pixels, so that a mark on it lies within the plot; null where it is out of sight. */
function rimPlace({ bbox, valToPos }: uPlot, value: number): number | null {
  const room = 3.5 * uPlot.pxRatio;
  const place = valToPos(value, "x", true);
  if (place < bbox.left - 1 || place > bbox.left + bbox.width + 1) return null;
  return Math.min(bbox.left + bbox.width - room, Math.max(bbox.left + room, place));
}

/** Its base at `y`, its tip so far below; above where `tall` is negative. */
function triangle(ctx: CanvasRenderingContext2D, x: number, y: number, tall: number, color: string): void {
  const half = 3.5 * uPlot.pxRatio;
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.moveTo(x - half, y);
  ctx.lineTo(x + half, y);
  ctx.lineTo(x, y + tall);
  ctx.fill();
}

function drawMark(plot: uPlot, mark: ChartMark, ratio: number): void {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(mark.x, "x", true);
  if (!Number.isFinite(x)) return;
  const color = resolveColor(mark.color ?? "--ink-3");
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  if (mark.until !== undefined) {
    ctx.globalAlpha = 0.1;
    ctx.fillRect(x, bbox.top, plot.valToPos(mark.until, "x", true) - x, bbox.height);
    ctx.globalAlpha = 1;
  }
  ctx.setLineDash([3 * ratio, 3 * ratio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.setLineDash([]);
  const leftward = x > bbox.left + bbox.width * 0.7;
  ctx.textAlign = leftward ? "right" : "left";
  ctx.textBaseline = "top";
  ctx.fillText(mark.label, x + (leftward ? -5 : 5) * ratio, bbox.top + 3 * ratio);
}
