/** What is shown, as an address: which page, and everything that a person set in it. Pure, both ways. */

import type { Axis } from "../../views/training_curves/curves";
import { readSettings, writeSettings, type Settings } from "../view_settings";

export type Place =
  | { readonly page: "runs" }
  | { readonly page: "run"; readonly id: string }
  | { readonly page: "compare" }
  | { readonly page: "missing"; readonly path: string };

export const TABS = ["overview", "layers", "evaluation", "trace", "function", "geometry", "data", "settings"] as const;
export type Tab = (typeof TABS)[number];

/** The state of all views. Defaults are left out of the address. */
export interface ViewState {
  readonly tab: Tab;
  /** The selected layer, '' for none. */
  readonly layer: string;
  readonly kind: string;
  /** Where the time slider stands; null follows the latest. */
  readonly step: number | null;
  readonly log: boolean;
  /** Gradient norms of a layer on a logarithmic scale. */
  readonly logGradient: boolean;
  readonly smoothing: number;
  readonly axis: Axis;
  readonly search: string;
  readonly sort: string;
  readonly metric: string;
  readonly split: string;
  readonly chosenClass: string;
  /** The traced row of the data; null for one that is worth a look. */
  readonly example: number | null;
  /** Where the walk through the trace stands. */
  readonly position: number;
  /** Walk stops a second while it plays. */
  readonly speed: number;
  /** The entry looked at, as "value:12:3,7"; '' for none. */
  readonly selected: string;
  /** What is set in the view of a measure; what is as usual is left out. */
  readonly view: Settings;
  /** Runs chosen for, or shown in, a comparison. */
  readonly runs: readonly string[];
}

export const DEFAULT_STATE: ViewState = {
  tab: "overview",
  layer: "",
  kind: "",
  step: null,
  log: false,
  logGradient: true,
  smoothing: 0.6,
  axis: "step",
  search: "",
  sort: "",
  metric: "",
  split: "",
  chosenClass: "",
  example: null,
  position: 0,
  speed: 1,
  selected: "",
  view: {},
  runs: [],
};

interface Field<Value> {
  readonly name: string;
  readonly read: (text: string) => Value | undefined;
  readonly write: (value: Value) => string;
}

const text = (name: string): Field<string> => ({ name, read: (value) => value, write: (value) => value });

function oneOf<Value extends string>(name: string, values: readonly Value[]): Field<Value> {
  return { name, read: (value) => values.find((one) => one === value), write: (value) => value };
}

function number(name: string, low: number, high: number): Field<number> {
  return {
    name,
    read: (value) => (value.trim() !== "" && Number(value) >= low && Number(value) <= high ? Number(value) : undefined),
    write: (value) => String(Math.round(value * 1000) / 1000),
  };
}

function whole(name: string): Field<number> {
  return {
    name,
    read: (value) => (/^\d{1,15}$/.test(value) ? Number(value) : undefined),
    write: (value) => String(Math.max(0, Math.round(value))),
  };
}

function flag(name: string): Field<boolean> {
  return {
    name,
    read: (value) => (value === "1" ? true : value === "0" ? false : undefined),
    write: (value) => (value ? "1" : "0"),
  };
}

const FIELDS: { readonly [Key in keyof ViewState]: Field<ViewState[Key]> } = {
  tab: oneOf("tab", TABS),
  layer: text("layer"),
  kind: text("kind"),
  step: number("step", 0, Number.MAX_SAFE_INTEGER) as Field<number | null>,
  log: flag("log"),
  logGradient: flag("glog"),
  smoothing: number("smooth", 0, 0.99),
  axis: oneOf<Axis>("x", ["step", "epoch", "time"]),
  search: text("q"),
  sort: text("sort"),
  metric: text("metric"),
  split: text("split"),
  chosenClass: text("class"),
  example: whole("example") as Field<number | null>,
  position: whole("position"),
  speed: number("speed", 0.01, 100),
  selected: text("selected"),
  view: { name: "view", read: readSettings, write: writeSettings },
  runs: {
    name: "runs",
    read: (value) => value.split(",").filter(Boolean).map(decodeURIComponentSafely),
    write: (value) => value.map(encodeURIComponent).join(","),
  },
};

const KEYS = Object.keys(FIELDS) as (keyof ViewState)[];

/** Which page a path names. */
export function readPlace(path: string): Place {
  if (path === "/" || path === "") return { page: "runs" };
  if (path === "/compare") return { page: "compare" };
  const run = /^\/runs\/([^/]+)\/?$/.exec(path)?.[1];
  return run ? { page: "run", id: decodeURIComponentSafely(run) } : { page: "missing", path };
}

/** The state in a query; what is absent or makes no sense is as by default. */
export function readState(search: string): ViewState {
  const query = new URLSearchParams(search);
  const state: Record<string, unknown> = { ...DEFAULT_STATE };
  for (const key of KEYS) {
    const value = query.get(FIELDS[key].name);
    const read = value === null ? undefined : FIELDS[key].read(value);
    if (read !== undefined) state[key] = read;
  }
  return state as unknown as ViewState;
}

/** The address of a place in a state. */
export function writeAddress(place: Place, state: Partial<ViewState> = {}): string {
  const query = new URLSearchParams();
  for (const key of KEYS) writeField(query, key, state[key]);
  const search = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":"); // they need no escape, and read better
  return search ? `${writePlace(place)}?${search}` : writePlace(place);
}

function writeField<Key extends keyof ViewState>(
  query: URLSearchParams,
  key: Key,
  value: ViewState[Key] | undefined,
): void {
  if (value === undefined || value === null || isDefault(key, value)) return;
  query.set(FIELDS[key].name, FIELDS[key].write(value));
}

function isDefault<Key extends keyof ViewState>(key: Key, value: ViewState[Key]): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0; // nothing in a list or a record
  return value === DEFAULT_STATE[key];
}

function writePlace(place: Place): string {
  if (place.page === "run") return `/runs/${encodeURIComponent(place.id)}`;
  if (place.page === "compare") return "/compare";
  return place.page === "missing" ? place.path : "/";
}

function decodeURIComponentSafely(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
