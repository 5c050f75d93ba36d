/**
 * Is a layer all right? Judged from its latest row of the `layers` table by fixed, explained thresholds.
 *
 * The thresholds are rules of thumb, not laws: updates of about a thousandth of the weights train well (Karpathy 2015,
 * CS231n "Ratio of weights:updates"), and units that are zero for a whole batch, or pinned at a bound, pass no gradient.
 */

/** From best to worst; `unknown` where nothing was recorded. */
export type HealthState = "unknown" | "ok" | "watch" | "trouble";

export const STATES: readonly HealthState[] = ["unknown", "ok", "watch", "trouble"];

export const SIGN_NAMES = ["spread", "dead", "saturation", "gradient", "update"] as const;

export type SignName = (typeof SIGN_NAMES)[number];

/** One figure of a layer's health. */
export interface Sign {
  name: SignName;
  label: string;
  value: number;
  state: HealthState;
  /** What was found, a sentence. */
  finding: string;
  /** Where the value lies on the sign's own scale, 0 … 1, for drawing. */
  level: number;
}

export interface Health {
  state: HealthState;
  step: number;
  signs: Sign[];
}

/** Columns of the `layers` table that health is judged by. */
export const HEALTH_COLUMNS = [
  "activation_mean",
  "activation_std",
  "activation_min",
  "activation_max",
  "activation_zero",
  "activation_saturated",
  "dead_units",
  "gradient_norm",
  "weight_norm",
  "update_ratio",
] as const;

export type HealthColumn = (typeof HEALTH_COLUMNS)[number];

/** A layer's latest row. A missing number reads as NaN, too: `lost` names the columns in which a NaN was measured. */
export interface LayerRow extends Record<HealthColumn, number> {
  step: number;
  /** Largest update ratio of the last quarter of the rows: a schedule that ends at 0 does not make a layer slow. */
  recent_update: number;
  lost: ReadonlySet<HealthColumn>;
}

export const THRESHOLDS = {
  /** Fractions above which units that never fire are worth watching, or are trouble. */
  dead: { watch: 0.2, trouble: 0.5 },
  /** Fractions of activations at a bound. */
  saturation: { watch: 0.2, trouble: 0.5 },
  /** ‖Δw‖ / ‖w‖ of a step. */
  update: { slow: 1e-4, fast: 1e-2, tooFast: 1e-1 },
  /** Standard deviation of the activations. */
  spread: { collapsed: 1e-6, small: 1e-2, large: 1e2 },
} as const;

/** How each sign is judged, for the tooltip and the legend. */
export const EXPLANATIONS: Record<SignName, { label: string; rule: string }> = {
  spread: {
    label: "Activation spread",
    rule: "standard deviation of the output; healthy from 0.01 to 100, trouble at 0 or when it is not finite",
  },
  dead: { label: "Dead units", rule: "units that were 0 for the whole batch; watch above 20 %, trouble above 50 %" },
  saturation: {
    label: "Saturation",
    rule: "outputs at a bound of the activation function; watch above 20 %, trouble above 50 %",
  },
  gradient: {
    label: "Gradient",
    rule: "L2 norm of the gradient of the layer’s parameters; trouble when it is 0 or not finite",
  },
  update: {
    label: "Update ratio",
    rule: "size of a step relative to the weights; healthy from about 0.0001 to 0.01, trouble at 0 or above 0.1",
  },
};

/** The worst of some states. */
export function worst(states: readonly HealthState[]): HealthState {
  return STATES[Math.max(0, ...states.map((state) => STATES.indexOf(state)))]!;
}

/** Judge a layer by its latest row; the gradient and the update only where there is something to train. */
export function judge(row: LayerRow, trainable: boolean): Health {
  const signs = [
    judgeSpread(row),
    judgeShare("dead", row.dead_units),
    judgeShare("saturation", row.activation_saturated),
  ];
  if (trainable) signs.push(judgeGradient(row), judgeUpdate(row));
  const known = signs.filter((sign): sign is Sign => sign !== null);
  return { state: worst(known.map((sign) => sign.state)), step: row.step, signs: known };
}

function sign(name: SignName, value: number, state: HealthState, finding: string, level: number): Sign {
  return { name, label: EXPLANATIONS[name].label, value, state, finding, level: Math.min(1, Math.max(0, level)) };
}

const ACTIVATION = ["activation_min", "activation_max", "activation_mean", "activation_std"] as const;

/** Whether what was measured is no finite number. */
function isBroken(row: LayerRow, column: HealthColumn): boolean {
  return Math.abs(row[column]) === Infinity || row.lost.has(column);
}

function isBlownUp(row: LayerRow): boolean {
  return ACTIVATION.some((column) => isBroken(row, column));
}

function judgeSpread(row: LayerRow): Sign | null {
  const value = row.activation_std;
  if (isBlownUp(row)) return sign("spread", value, "trouble", "the outputs are no longer finite numbers", 1);
  if (Number.isNaN(value)) return null;
  const { collapsed, small, large } = THRESHOLDS.spread;
  const level = (Math.log10(Math.max(value, 1e-6)) + 4) / 8;
  if (value < collapsed) return sign("spread", value, "trouble", "every example gives the same output", 0);
  if (value < small) return sign("spread", value, "watch", "the outputs hardly differ", level);
  if (value > large) return sign("spread", value, "watch", "the outputs are very large", level);
  return sign("spread", value, "ok", "the outputs vary at a healthy size", level);
}

const SHARES = {
  dead: { none: "all units fire", some: "some units never fire", most: "most units never fire", of: THRESHOLDS.dead },
  saturation: {
    none: "few outputs lie at a bound",
    some: "many outputs lie at a bound",
    most: "most outputs lie at a bound",
    of: THRESHOLDS.saturation,
  },
} as const;

function judgeShare(name: "dead" | "saturation", value: number): Sign | null {
  if (!Number.isFinite(value)) return null;
  const words = SHARES[name];
  if (value > words.of.trouble) return sign(name, value, "trouble", words.most, value);
  if (value > words.of.watch) return sign(name, value, "watch", words.some, value);
  return sign(name, value, "ok", value > 0 && name === "dead" ? "few units never fire" : words.none, value);
}

function judgeGradient(row: LayerRow): Sign | null {
  const value = row.gradient_norm;
  if (isBroken(row, "gradient_norm")) {
    return sign("gradient", value, "trouble", "the gradient is no longer a finite number", 1);
  }
  if (Number.isNaN(value)) return null;
  if (value === 0) return sign("gradient", value, "trouble", "no gradient reaches this layer", 0);
  const level = (Math.log10(Math.max(value, 1e-8)) + 8) / 11;
  return sign("gradient", value, "ok", "a gradient reaches this layer", level);
}

function judgeUpdate(row: LayerRow): Sign | null {
  const value = row.update_ratio;
  if (isBroken(row, "update_ratio") || isBroken(row, "weight_norm"))
    return sign("update", value, "trouble", "the weights are no longer finite numbers", 1);
  if (Number.isNaN(value)) return null;
  const { slow, fast, tooFast } = THRESHOLDS.update;
  const most = Math.max(value, Number.isFinite(row.recent_update) ? row.recent_update : value);
  const level = (Math.log10(Math.max(value, 1e-7)) + 6) / 6;
  if (most === 0) return sign("update", value, "trouble", "the weights do not move", 0);
  if (value > tooFast) return sign("update", value, "trouble", "each step overwrites much of the weights", level);
  if (value > fast) return sign("update", value, "watch", "the steps are large for these weights", level);
  if (most < slow) return sign("update", value, "watch", "the weights hardly move", level);
  if (value < slow)
    return sign("update", value, "ok", "small now, healthy shortly before: the rate has come down", level);
  return sign("update", value, "ok", "the steps fit the size of the weights", level);
}
