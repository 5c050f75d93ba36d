/**
 * Colours for data. Ramps are drawn in OKLab (Ottosson 2020), where equal steps look equal, with lightness linear in
 * the value, so that they read the same in grey and with any colour blindness.
 */

export type Rgb = readonly [red: number, green: number, blue: number];
export type Ramp = "sequential" | "diverging";

/** One stop of a ramp in OKLCH: lightness 0–1, chroma, hue in degrees. */
type Stop = readonly [lightness: number, chroma: number, hue: number];

const SEQUENTIAL_LIGHT: readonly Stop[] = [
  [0.975, 0.012, 215],
  [0.81, 0.085, 218],
  [0.645, 0.125, 240],
  [0.48, 0.15, 264],
  [0.315, 0.12, 285],
];
const SEQUENTIAL_DARK: readonly Stop[] = [
  [0.235, 0.025, 275],
  [0.4075, 0.12, 272],
  [0.58, 0.135, 250],
  [0.7525, 0.115, 215],
  [0.925, 0.08, 180],
];
const DIVERGING_LIGHT: readonly Stop[] = [
  [0.42, 0.14, 255],
  [0.7, 0.1, 248],
  [0.98, 0.002, 90],
  [0.7, 0.13, 52],
  [0.42, 0.115, 42],
];
const DIVERGING_DARK: readonly Stop[] = [
  [0.85, 0.095, 240],
  [0.545, 0.12, 252],
  [0.24, 0.006, 90],
  [0.545, 0.13, 46],
  [0.85, 0.105, 65],
];

const RAMPS = {
  sequential: { light: SEQUENTIAL_LIGHT, dark: SEQUENTIAL_DARK },
  diverging: { light: DIVERGING_LIGHT, dark: DIVERGING_DARK },
} as const;

/** From nothing (near the surface's colour) at 0 to everything at 1. Values outside are clamped. */
export function sequential(value: number, dark = false): Rgb {
  return rampColor("sequential", value, dark);
}

/** From −1 (blue) over 0 (neutral) to 1 (orange). Values outside are clamped. */
export function diverging(value: number, dark = false): Rgb {
  return rampColor("diverging", (value + 1) / 2, dark);
}

/** The ramp's colour at `position` in 0–1. NaN gives a mid grey that no ramp contains. */
export function rampColor(ramp: Ramp, position: number, dark = false): Rgb {
  if (Number.isNaN(position)) return [136, 136, 136];
  const stops = RAMPS[ramp][dark ? "dark" : "light"];
  const place = Math.min(1, Math.max(0, position)) * (stops.length - 1);
  const index = Math.min(stops.length - 2, Math.floor(place));
  return mix(stops[index] as Stop, stops[index + 1] as Stop, place - index);
}

/** 256 RGBA entries of a ramp, for canvases. */
export function rampTable(ramp: Ramp, dark = false): Uint8ClampedArray<ArrayBuffer> {
  const table = new Uint8ClampedArray(256 * 4);
  for (let entry = 0; entry < 256; entry++) table.set([...rampColor(ramp, entry / 255, dark), 255], entry * 4);
  return table;
}

/** A CSS gradient of a ramp, for legends. */
export function rampGradient(ramp: Ramp, dark = false, direction = "to right"): string {
  const stops = Array.from({ length: 9 }, (_, entry) => toCss(rampColor(ramp, entry / 8, dark)));
  return `linear-gradient(${direction}, ${stops.join(", ")})`;
}

/** The CSS colour of the n-th category; after eight they repeat (dash or label them then). */
export function categoryColor(index: number): string {
  return `var(--category-${(((index % 8) + 8) % 8) + 1})`;
}

/** The colour of a split: training, validation and test look the same everywhere. */
export function splitColor(split: string): string {
  return split === "train" || split === "validation" || split === "test" ? `var(--${split})` : "var(--category-8)";
}

/** A colour by its lightness 0–1, chroma and hue in degrees, for colours that only tell apart. */
export function fromLch(lightness: number, chroma: number, hue: number): Rgb {
  return labToRgb(...toLab([lightness, chroma, hue]));
}

/** Black or white, whichever reads better on `color`. */
export function inkOn(color: Rgb): "#000000" | "#ffffff" {
  return luminance(color) > 0.18 ? "#000000" : "#ffffff";
}

/** WCAG relative luminance, 0–1. */
export function luminance([red, green, blue]: Rgb): number {
  return 0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
}

/** `rgb(1 2 3)` or, with an opacity, `rgb(1 2 3 / 0.5)`. */
export function toCss([red, green, blue]: Rgb, opacity = 1): string {
  return opacity === 1 ? `rgb(${red} ${green} ${blue})` : `rgb(${red} ${green} ${blue} / ${opacity})`;
}

function mix(from: Stop, to: Stop, share: number): Rgb {
  const [l0, a0, b0] = toLab(from);
  const [l1, a1, b1] = toLab(to);
  return labToRgb(l0 + (l1 - l0) * share, a0 + (a1 - a0) * share, b0 + (b1 - b0) * share);
}

function toLab([lightness, chroma, hue]: Stop): readonly [number, number, number] {
  const angle = (hue * Math.PI) / 180;
  return [lightness, chroma * Math.cos(angle), chroma * Math.sin(angle)];
}

/** OKLab to sRGB bytes, with the published matrices. */
function labToRgb(lightness: number, a: number, b: number): Rgb {
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    toByte(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
    toByte(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
    toByte(-0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short),
  ];
}

function toByte(value: number): number {
  const clamped = Math.min(1, Math.max(0, value));
  const encoded = clamped <= 0.0031308 ? 12.92 * clamped : 1.055 * clamped ** (1 / 2.4) - 0.055;
  return Math.round(encoded * 255);
}

function linear(encoded: number): number {
  return encoded <= 0.04045 ? encoded / 12.92 : ((encoded + 0.055) / 1.055) ** 2.4;
}
