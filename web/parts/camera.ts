/**
 * Where a person looks in a plane. The plane is the unit square whatever its own ranges are: 0 and 1 are the ends of
 * each, and the second coordinate goes upwards. What is drawn keeps single precision however far one zooms in.
 */

export interface Camera {
  /** The middle of what is seen. */
  readonly x: number;
  readonly y: number;
  /** How many times larger than the whole. */
  readonly zoom: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type Point = readonly [x: number, y: number];

export const WHOLE: Camera = { x: 0.5, y: 0.5, zoom: 1 };
const MOST_ZOOM = 20_000;

/** Keep the view inside the plane. */
export function held({ x, y, zoom }: Camera): Camera {
  const kept = Math.min(MOST_ZOOM, Math.max(1, Number.isFinite(zoom) ? zoom : 1));
  const half = 0.5 / kept;
  const within = (value: number) => Math.min(1 - half, Math.max(half, Number.isFinite(value) ? value : 0.5));
  return { x: within(x), y: within(y), zoom: kept };
}

export function toScreen(camera: Camera, size: Size, [x, y]: Point): Point {
  return [((x - camera.x) * camera.zoom + 0.5) * size.width, (0.5 - (y - camera.y) * camera.zoom) * size.height];
}

export function toPlane(camera: Camera, size: Size, [left, top]: Point): Point {
  return [camera.x + (left / size.width - 0.5) / camera.zoom, camera.y + (0.5 - top / size.height) / camera.zoom];
}

/** Zoom so that what lies under a place of the screen stays there. */
export function zoomAt(camera: Camera, size: Size, place: Point, factor: number): Camera {
  const [x, y] = toPlane(camera, size, place);
  const zoom = Math.min(MOST_ZOOM, Math.max(1, camera.zoom * factor));
  return held({
    x: x - (place[0] / size.width - 0.5) / zoom,
    y: y - (0.5 - place[1] / size.height) / zoom,
    zoom,
  });
}

/** Move what is seen by so many pixels. */
export function panBy(camera: Camera, size: Size, right: number, down: number): Camera {
  return held({
    x: camera.x - right / size.width / camera.zoom,
    y: camera.y + down / size.height / camera.zoom,
    zoom: camera.zoom,
  });
}

/** The part of the plane that is seen. */
export function seen({ x, y, zoom }: Camera): { left: number; right: number; bottom: number; top: number } {
  const half = 0.5 / zoom;
  return { left: x - half, right: x + half, bottom: y - half, top: y + half };
}
