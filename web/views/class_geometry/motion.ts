/** Moments of training drawn in one frame, and what lies between two of them. */

import type { ClassGeometry } from "../../api/types";

export interface Drawn {
  /** Rows of three numbers each. */
  readonly ideal: Float64Array;
  readonly centres: Float64Array;
  /** Empty where there is none, or none in this frame. */
  readonly classifier: Float64Array;
  readonly points: Float64Array;
  readonly pointClasses: ArrayLike<number | bigint>;
}

type Numbers = ArrayLike<number | bigint>;

/** A moment as `frame` is drawn: vertices are the same in every network, so that only directions must be shared. */
export function drawnIn(moment: ClassGeometry, frame: ClassGeometry): Drawn {
  const axes = frame.axes.data;
  const classes = frame.class_names.length;
  const own = moment === frame || isNear(moment.axes.data, axes);
  const placed = moment.places.data.length > 0 && moment.class_names.length === classes && !own;
  return {
    ideal: Float64Array.from(placed || own ? frame.ideal.data : moment.ideal.data, Number),
    centres: placed ? turned(moment.places.data, axes, classes) : Float64Array.from(moment.centres.data, Number),
    classifier: placed ? new Float64Array(0) : Float64Array.from(moment.classifier.data, Number),
    points: placed ? turned(moment.point_places.data, axes, classes) : Float64Array.from(moment.points.data, Number),
    pointClasses: moment.point_classes.data,
  };
}

/** What is drawn at a place among moments, such as 1.5: halfway between the second and the third. */
export function drawnAt(moments: readonly Drawn[], at: number): Drawn | null {
  const from = moments[Math.floor(at)];
  const to = moments[Math.ceil(at)] ?? from;
  const share = at - Math.floor(at);
  if (!from || !to || share === 0 || !isSame(from.pointClasses, to.pointClasses))
    return (share > 0.5 ? to : from) ?? null;
  return {
    ideal: from.ideal,
    centres: between(from.centres, to.centres, share),
    classifier: between(from.classifier, to.classifier, share),
    points: between(from.points, to.points, share),
    pointClasses: from.pointClasses,
  };
}

/** Rows of class space along three axes. */
function turned(rows: Numbers, axes: Numbers, classes: number): Float64Array {
  const count = Math.floor(rows.length / classes);
  const found = new Float64Array(3 * count);
  for (let row = 0; row < count; row++)
    for (let k = 0; k < classes; k++) {
      const value = Number(rows[row * classes + k]);
      for (let axis = 0; axis < 3; axis++) found[3 * row + axis]! += value * Number(axes[3 * k + axis]);
    }
  return found;
}

function between(from: Float64Array, to: Float64Array, share: number): Float64Array {
  if (from.length !== to.length) return from;
  return from.map((value, at) => value + (to[at]! - value) * share);
}

function isNear(one: Numbers, other: Numbers): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (Math.abs(Number(one[at]) - Number(other[at])) > 1e-9) return false;
  return true;
}

function isSame(one: Numbers, other: Numbers): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}
