/** Dots of a metric's folds on a line, moved aside where they would cover one another. */

export interface Dot {
  fold: number;
  value: number;
  x: number;
  y: number;
}

/** Where a value lies between the ends of a scale, 0 … 1; the scale holds all folds and the band of one deviation. */
export function scaleOf(values: ArrayLike<number>, mean: number, std: number): { low: number; high: number } {
  const all = [...Array.from(values), mean - std, mean + std, mean].filter(Number.isFinite);
  if (!all.length) return { low: 0, high: 1 };
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return { low: low - room, high: high + room };
}

/** Place dots of a given diameter along `width` pixels; dots that would overlap climb up or down in turns. */
export function placeDots(
  values: ArrayLike<number>,
  scale: { low: number; high: number },
  width: number,
  diameter: number,
): Dot[] {
  const placed: Dot[] = [];
  const order = Array.from(values, (value, fold) => ({ value, fold })).filter(({ value }) => Number.isFinite(value));
  order.sort((a, b) => a.value - b.value);
  for (const { value, fold } of order) {
    const x = ((value - scale.low) / (scale.high - scale.low)) * width;
    let level = 0;
    while (placed.some((dot) => Math.hypot(dot.x - x, dot.y - climb(level, diameter)) < diameter * 0.99)) level += 1;
    placed.push({ fold, value, x, y: climb(level, diameter) });
  }
  return placed;
}

/** 0, up, down, further up … */
function climb(level: number, diameter: number): number {
  return (level % 2 ? -1 : 1) * Math.ceil(level / 2) * diameter;
}
