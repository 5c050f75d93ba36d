/** Which of a run's figures are read first: held-out before trained-on, the plain measure before its refinements. */

const FIRST = [
  "test_accuracy",
  "test_r2",
  "validation_accuracy",
  "validation_r2",
  "test_rmse",
  "test_log_loss",
  "test_mae",
  "validation_rmse",
  "validation_loss",
  "train_accuracy",
  "train_r2",
  "train_loss",
];
const SPLITS = ["test_", "validation_", "train_"];

/** Metric names in reading order; names that we do not know come last, in the order given. */
export function orderMetrics(names: readonly string[]): string[] {
  return names
    .map((name) => ({ name, rank: rank(name) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ name }) => name);
}

/** Whether a metric is among those that say how well a run does, at a glance. */
export function isHeadline(name: string): boolean {
  return FIRST.includes(name);
}

function rank(name: string): number {
  const place = FIRST.indexOf(name);
  if (place >= 0) return place;
  const split = SPLITS.findIndex((prefix) => name.startsWith(prefix));
  return FIRST.length + (split < 0 ? SPLITS.length : split);
}
