/** Where the eye stands that looks at a surface, and how it is moved. */

export interface Orbit {
  /** Radians around the upright axis; 0 looks along the rising y. */
  readonly azimuth: number;
  /** Radians above the ground. */
  readonly elevation: number;
  /** How near: 1 shows all. */
  readonly zoom: number;
}

export const HOME: Orbit = { azimuth: 0.62, elevation: 0.52, zoom: 1 };

const STEP = Math.PI / 24;
const LOWEST = -0.2;
const HIGHEST = Math.PI / 2 - 1e-3; // straight from above, up is still up

/** Turned by some angles and brought nearer by a factor, as far as makes sense. */
export function turn(orbit: Orbit, azimuth: number, elevation: number, nearer = 1): Orbit {
  const around = orbit.azimuth + azimuth;
  return {
    azimuth: around - 2 * Math.PI * Math.floor((around + Math.PI) / (2 * Math.PI)),
    elevation: Math.min(HIGHEST, Math.max(LOWEST, orbit.elevation + elevation)),
    zoom: Math.min(6, Math.max(0.5, orbit.zoom * nearer)),
  };
}

/** What a key does to the eye: arrows orbit, + and − zoom, 0 or Home goes back; null for any other key. */
export function turnByKey(orbit: Orbit, key: string): Orbit | null {
  if (key === "ArrowLeft") return turn(orbit, STEP, 0);
  if (key === "ArrowRight") return turn(orbit, -STEP, 0);
  if (key === "ArrowUp") return turn(orbit, 0, STEP);
  if (key === "ArrowDown") return turn(orbit, 0, -STEP);
  if (key === "+" || key === "=") return turn(orbit, 0, 0, 1.15);
  if (key === "-") return turn(orbit, 0, 0, 1 / 1.15);
  return key === "0" || key === "Home" ? HOME : null;
}

/** The eye's place about the origin, at a distance: x, upright, depth. */
export function eyeOf(orbit: Orbit, distance: number): readonly [number, number, number] {
  const flat = Math.cos(orbit.elevation) * distance;
  return [Math.sin(orbit.azimuth) * flat, Math.sin(orbit.elevation) * distance, Math.cos(orbit.azimuth) * flat];
}

/** Where the eye stands, in words. */
export function sayOrbit({ azimuth, elevation }: Orbit): string {
  const degrees = (angle: number): number => Math.round((angle * 180) / Math.PI);
  return `turned by ${degrees(azimuth)}°, seen from ${degrees(elevation)}° above`;
}
