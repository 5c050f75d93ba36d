/** Points of space seen from an angle: an orthographic view that a person turns. */

export interface View {
  /** Radians around the vertical axis, and above the horizon. */
  readonly turn: number;
  readonly tilt: number;
}

export interface Projected {
  /** Rightwards and upwards, in the units of the space. */
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Towards the eye. */
  readonly depth: Float64Array;
}

/** Rows of three numbers as they appear from `view`. */
export function project(points: ArrayLike<number | bigint>, { turn, tilt }: View): Projected {
  const count = Math.floor(points.length / 3);
  const [x, y, depth] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)];
  const [cosTurn, sinTurn, cosTilt, sinTilt] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  for (let at = 0; at < count; at++) {
    const [a, b, c] = [Number(points[3 * at]), Number(points[3 * at + 1]), Number(points[3 * at + 2])];
    const back = -a * sinTurn + c * cosTurn;
    x[at] = a * cosTurn + c * sinTurn;
    y[at] = b * cosTilt - back * sinTilt;
    depth[at] = b * sinTilt + back * cosTilt;
  }
  return { x, y, depth };
}

/** The farthest point's distance from the origin, so that the scale holds whatever the angle. */
export function reachOf(...sets: readonly ArrayLike<number | bigint>[]): number {
  let most = 0;
  for (const points of sets)
    for (let at = 0; at + 2 < points.length; at += 3)
      most = Math.max(most, Math.hypot(Number(points[at]), Number(points[at + 1]), Number(points[at + 2])));
  return most || 1;
}

/** The places of leaves 0 … n − 1 and the height of each join of a linkage, as brackets to draw. */
export interface Bracket {
  readonly left: number;
  readonly right: number;
  readonly height: number;
  readonly leftHeight: number;
  readonly rightHeight: number;
}

/** A linkage (SciPy's four columns) as brackets over the leaves in their order. */
export function brackets(tree: ArrayLike<number | bigint>, order: readonly number[]): Bracket[] {
  const leaves = order.length;
  const at: number[] = new Array<number>(2 * leaves - 1).fill(0);
  const high: number[] = new Array<number>(2 * leaves - 1).fill(0);
  order.forEach((leaf, place) => (at[leaf] = place));
  const found: Bracket[] = [];
  for (let row = 0; row < leaves - 1; row++) {
    const [a, b] = [Number(tree[4 * row]), Number(tree[4 * row + 1])];
    const height = Number(tree[4 * row + 2]);
    const [left, right] = at[a]! <= at[b]! ? [a, b] : [b, a];
    found.push({ left: at[left]!, right: at[right]!, height, leftHeight: high[left]!, rightHeight: high[right]! });
    at[leaves + row] = (at[a]! + at[b]!) / 2;
    high[leaves + row] = height;
  }
  return found;
}
