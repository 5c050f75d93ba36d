/** Numbers, durations and times as people read them. One place, so that a figure looks the same everywhere. */

const MINUS = "\u2212";
const MISSING = "–";

/**
 * A number with `digits` significant digits: 0.9871, 12,345, 3.2e−5; NaN and infinities are said, null is a dash. Whole
 * numbers are written out to 9,999,999, with three digits or fewer to 99,999.
 */
export function formatNumber(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return MISSING;
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= (digits <= 3 ? 1e5 : 1e7) || size < 1e-4)
    return tidyExponent(value.toExponential(Math.max(0, digits - 2)));
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const text = size >= 1000 ? Math.round(size).toLocaleString("en-GB") : trimZeros(size.toFixed(Math.min(places, 8)));
  return value < 0 ? MINUS + text : text;
}

/** A fraction as a percentage: 0.9871 → 98.7 %. */
export function formatPercent(value: number | null | undefined, places = 1): string {
  if (value === null || value === undefined) return MISSING;
  if (!Number.isFinite(value)) return formatNumber(value);
  const percent = value * 100;
  const text = Math.abs(percent).toFixed(places);
  const tiny = percent !== 0 && Number(text) === 0;
  return tiny ? `< ${(10 ** -places).toFixed(places)} %` : `${percent < 0 ? MINUS : ""}${text} %`;
}

/**
 * A tick of an axis of metric values: as many digits as ticks `increment` apart need to differ, and no more.
 */
export function formatMetricTick(name: string, value: number, increment: number): string {
  if (!SHARES.test(name)) return formatNumber(value, 3);
  const places = increment > 0 ? Math.max(0, Math.ceil(-Math.log10(increment * 100) - 1e-9)) : 0;
  return formatPercent(value, Math.min(places, 4));
}

/** A whole number with thousands separators. */
export function formatCount(value: number | null | undefined): string {
  return value === null || value === undefined ? MISSING : Math.round(value).toLocaleString("en-GB");
}

/** A short count: 1.2k, 3.4M. */
export function formatShort(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (size >= unit) return `${value < 0 ? MINUS : ""}${trimZeros((size / unit).toPrecision(3))}${name}`;
  }
  return formatNumber(value, 3);
}

/** Seconds as a duration: 3.1 ms, 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return MISSING;
  if (seconds === 0) return "0 s";
  if (seconds < 1e-3) return `${trimZeros((seconds * 1e6).toPrecision(3))} µs`;
  if (seconds < 1) return `${trimZeros((seconds * 1e3).toPrecision(3))} ms`;
  if (seconds < 10) return `${trimZeros(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return (
    pair(whole, 60, 60, "min", "s") ??
    pair(whole, 3600, 24, "h", "min", 60) ??
    pair(whole, 86400, Infinity, "d", "h", 3600) ??
    ""
  );
}

/** How long ago an ISO-8601 time was: "just now", "5 min ago", "3 d ago". */
export function formatAge(iso: string, now: number = Date.now()): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return MISSING;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** Bytes as B, kB, MB, GB (powers of 1,000). */
export function formatBytes(bytes: number): string {
  for (const [unit, name] of [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
  ] as const) {
    if (bytes >= unit) return `${trimZeros((bytes / unit).toPrecision(3))} ${name}`;
  }
  return `${bytes} B`;
}

/** Metrics that are fractions of a whole and read best as percentages. */
const SHARES = /^(.*[_ ])?(accuracy|precision|recall|f1|error_rate|majority_share)([_ ].*)?$/;

/** The value of a named metric: shares as percentages, anything else with four digits. */
export function formatMetric(name: string, value: number | null | undefined): string {
  return SHARES.test(name) ? formatPercent(value, 2) : formatNumber(value, 4);
}

/** `validation_log_loss` → "Validation log loss"; known abbreviations stay in capitals. */
export function formatName(name: string): string {
  const words = name.replaceAll(/[_.]/g, " ").trim();
  const text = words
    .replaceAll(/\b(mae|mse|rmse|roc|auc|pr|lr|f1)\b/g, (word) => word.toUpperCase())
    .replaceAll(/\br2\b/g, "R²");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A message with its percentages written as all others. */
export function formatMessage(message: string): string {
  return message.trim().replaceAll(/(\d)%/g, "$1 %");
}

/** A message as a sentence that stands by itself; what begins with a name (`fc1.weight`, `NaN`) is left as it is. */
export function formatSentence(message: string): string {
  const text = formatMessage(message);
  const [first = ""] = text.split(/\s/, 1);
  return /^\p{Ll}[\p{Ll}’'-]*[,;:]?$/u.test(first) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

function pair(
  seconds: number,
  unit: number,
  limit: number,
  name: string,
  restName: string,
  restUnit = 1,
): string | null {
  const count = Math.floor(seconds / unit);
  if (count >= limit) return null;
  const rest = Math.floor((seconds - count * unit) / restUnit);
  return rest ? `${count} ${name} ${rest} ${restName}` : `${count} ${name}`;
}

function trimZeros(text: string): string {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function tidyExponent(text: string): string {
  const [mantissa = "", exponent = ""] = text.split("e");
  return `${trimZeros(mantissa).replace("-", MINUS)}e${exponent.replace("+", "").replace("-", MINUS)}`;
}
