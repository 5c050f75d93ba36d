/**
 * Surfaces by WebGL. This module alone imports three, and is itself only imported when a surface is to be seen. All
 * surfaces of a page share one context: each is drawn into it in turn, and copied to its own canvas.
 */

import {
  BufferAttribute,
  BufferGeometry,
  Color,
  CatmullRomCurve3,
  DataTexture,
  DoubleSide,
  LinearFilter,
  LineBasicMaterial,
  LineSegments,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  Raycaster,
  RGBAFormat,
  Scene,
  ShaderMaterial,
  SphereGeometry,
  TubeGeometry,
  Vector2,
  Vector3,
  WebGLRenderer,
  type Object3D,
} from "three";
import { TALL, type Mesh as Surface } from "./mesh";
import { eyeOf, type Orbit } from "./orbit";

export interface DrawnLine {
  /** Points of the box, three numbers each. */
  readonly points: readonly (readonly [number, number, number])[];
  readonly color: string;
  /** Mark each point with a ball. */
  readonly balls?: boolean;
  /** Thin, for stems and axes. */
  readonly thin?: boolean;
}

export interface Drawn {
  readonly surface: Surface;
  readonly lines: readonly DrawnLine[];
  /** 256 RGBA entries. */
  readonly ramp: Uint8ClampedArray<ArrayBuffer>;
  /** Where, in 0–1 of the box's height, contours lie. */
  readonly levels: readonly number[];
  readonly grid: string;
  readonly contour: string;
  readonly dark: boolean;
}

export interface Stage {
  /** Take over what is to be seen. */
  set(drawn: Drawn): void;
  /** Draw it, seen from `orbit`, on a canvas of so many device pixels. */
  draw(canvas: HTMLCanvasElement, orbit: Orbit): void;
  /** Where a point of the box lies on the canvas, in shares of its sides. */
  project(point: readonly [number, number, number]): readonly [number, number];
  /** The point of the surface at a place of the canvas (in shares), or null beside it. */
  hit(across: number, down: number): readonly [number, number, number] | null;
  close(): void;
}

const MOST_LEVELS = 24;

const VERTEX = `
attribute float share;
varying float vShare;
varying vec3 vNormal;
varying vec3 vView;
void main() {
  vShare = share;
  vNormal = normalize(normalMatrix * normal);
  vec4 seen = modelViewMatrix * vec4(position, 1.0);
  vView = -seen.xyz;
  gl_Position = projectionMatrix * seen;
}`;

const FRAGMENT = `
uniform sampler2D ramp;
uniform vec3 contour;
uniform float levels[${MOST_LEVELS}];
uniform int count;
varying float vShare;
varying vec3 vNormal;
varying vec3 vView;
void main() {
  vec3 colour = texture2D(ramp, vec2(vShare * 255.0 / 256.0 + 0.5 / 256.0, 0.5)).rgb;
  float wide = length(vec2(dFdx(vShare), dFdy(vShare)));
  float line = 0.0;
  for (int i = 0; i < ${MOST_LEVELS}; i++) {
    if (i >= count) break;
    line = max(line, 1.0 - smoothstep(0.3, 1.1, abs(vShare - levels[i]) / max(wide, 1e-6)));
  }
  vec3 normal = normalize(vNormal);
  if (!gl_FrontFacing) normal = -normal;
  vec3 light = normalize(vec3(-0.45, 0.8, 0.55));
  float lit = 0.74 + 0.3 * max(0.0, dot(normal, light));
  float gleam = 0.10 * pow(max(0.0, dot(normal, normalize(light + normalize(vView)))), 24.0);
  colour = mix(colour * lit + gleam, contour, 0.36 * line);
  gl_FragColor = vec4(colour, 1.0);
}`;

let renderer: WebGLRenderer | null = null;
let stages = 0;

/** The one context of the page. Throws where there is no WebGL. */
function shared(): WebGLRenderer {
  if (!renderer) {
    const made = new WebGLRenderer({ antialias: true, alpha: true, powerPreference: "low-power" });
    made.setPixelRatio(1);
    made.setSize(1, 1, false);
    made.setClearColor(0x000000, 0);
    made.outputColorSpace = "srgb-linear"; // colours go through as they come: the ramps are in sRGB already
    renderer = made;
  }
  return renderer;
}

/** The shared canvas only grows: surfaces of different sizes take turns on its lower left. Gives its height. */
function makeRoom(gl: WebGLRenderer, wide: number, high: number): number {
  const { width, height } = gl.domElement;
  if (wide > width || high > height) gl.setSize(Math.max(wide, width), Math.max(high, height), false);
  return gl.domElement.height;
}

/** A new surface. `onlost` hears that the context went away (the surface is drawn no more) or came back. */
export function openStage(onlost: (lost: boolean) => void): Stage {
  const gl = shared();
  stages += 1;
  const lose = (event: Event): void => {
    event.preventDefault();
    onlost(true);
  };
  const regain = (): void => onlost(false);
  gl.domElement.addEventListener("webglcontextlost", lose);
  gl.domElement.addEventListener("webglcontextrestored", regain);

  const scene = new Scene();
  const camera = new PerspectiveCamera(30, 1, 0.05, 50);
  const uniforms = {
    ramp: { value: null as DataTexture | null },
    contour: { value: new Color() },
    levels: { value: new Array<number>(MOST_LEVELS).fill(0) },
    count: { value: 0 },
  };
  const material = new ShaderMaterial({
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    uniforms,
    side: DoubleSide,
    polygonOffset: true,
    polygonOffsetFactor: 1,
    polygonOffsetUnits: 1,
  });
  const surface = new Mesh(new BufferGeometry(), material);
  scene.add(surface);
  let others: Object3D[] = [];
  const raycaster = new Raycaster();

  function clear(): void {
    for (const one of others) {
      scene.remove(one);
      const drawn = one as Mesh<BufferGeometry, MeshBasicMaterial>;
      drawn.geometry.dispose();
      drawn.material.dispose();
    }
    others = [];
  }

  function add(object: Object3D): void {
    others.push(object);
    scene.add(object);
  }

  return {
    set(drawn) {
      surface.geometry.dispose();
      surface.geometry = geometryOf(drawn.surface);
      uniforms.ramp.value?.dispose();
      uniforms.ramp.value = textureOf(drawn.ramp);
      uniforms.contour.value = colorOf(drawn.contour);
      uniforms.count.value = Math.min(MOST_LEVELS, drawn.levels.length);
      uniforms.levels.value = Array.from({ length: MOST_LEVELS }, (_, index) => drawn.levels[index] ?? 0);
      clear();
      add(segments(floorLines(), drawn.grid));
      for (const line of drawn.lines) {
        for (const object of objectsOf(line)) add(object);
      }
    },
    draw(canvas, orbit) {
      const [wide, high] = [canvas.width, canvas.height];
      if (wide === 0 || high === 0) return;
      place(camera, orbit, wide / high);
      const tall = makeRoom(gl, wide, high);
      gl.setViewport(0, 0, wide, high);
      gl.render(scene, camera);
      const context = canvas.getContext("2d");
      context?.clearRect(0, 0, wide, high);
      context?.drawImage(gl.domElement, 0, tall - high, wide, high, 0, 0, wide, high);
    },
    project(point) {
      const seen = new Vector3(...point).project(camera);
      return [(seen.x + 1) / 2, (1 - seen.y) / 2];
    },
    hit(across, down) {
      raycaster.setFromCamera(new Vector2(2 * across - 1, 1 - 2 * down), camera);
      const found = raycaster.intersectObject(surface)[0]?.point;
      return found ? [found.x, found.y, found.z] : null;
    },
    close() {
      clear();
      surface.geometry.dispose();
      material.dispose();
      uniforms.ramp.value?.dispose();
      gl.domElement.removeEventListener("webglcontextlost", lose);
      gl.domElement.removeEventListener("webglcontextrestored", regain);
      stages -= 1;
      if (stages === 0) {
        gl.dispose();
        gl.forceContextLoss();
        renderer = null;
      }
    },
  };
}

/** The eye looks at the middle of the box, from as far as shows all of it. */
function place(camera: PerspectiveCamera, orbit: Orbit, aspect: number): void {
  const half = Math.tan((camera.fov * Math.PI) / 360);
  const distance = 1.36 / (half * Math.min(1, aspect * 0.82)) / orbit.zoom;
  const middle = 0.3 * TALL;
  const [x, up, depth] = eyeOf(orbit, distance);
  camera.aspect = aspect;
  camera.position.set(x, up + middle, depth);
  camera.lookAt(0, middle, 0);
  camera.updateProjectionMatrix();
  camera.updateMatrixWorld();
}

function geometryOf(surface: Surface): BufferGeometry {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(surface.positions, 3));
  geometry.setAttribute("normal", new BufferAttribute(surface.normals, 3));
  geometry.setAttribute("share", new BufferAttribute(surface.shares, 1));
  geometry.setIndex(new BufferAttribute(surface.triangles, 1));
  return geometry;
}

function textureOf(ramp: Uint8ClampedArray<ArrayBuffer>): DataTexture {
  const texture = new DataTexture(new Uint8Array(ramp), 256, 1, RGBAFormat);
  texture.minFilter = texture.magFilter = LinearFilter;
  texture.needsUpdate = true;
  return texture;
}

function colorOf(css: string): Color {
  return new Color().setStyle(css, "srgb-linear");
}

/** The ground's grid and the four posts. */
function floorLines(): number[] {
  const out: number[] = [];
  for (let step = 0; step <= 8; step++) {
    const at = step / 4 - 1;
    out.push(at, 0, -1, at, 0, 1, -1, 0, at, 1, 0, at);
  }
  return out;
}

function segments(points: readonly number[], color: string): LineSegments {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(Float32Array.from(points), 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colorOf(color) }));
}

function objectsOf(line: DrawnLine): Object3D[] {
  const points = line.points.map((point) => new Vector3(...point));
  const out: Object3D[] = [];
  if (line.thin) {
    const pairs = line.points.slice(1).flatMap((point, index) => [...(line.points[index] ?? point), ...point]);
    return [segments(pairs, line.color)];
  }
  const material = () => new MeshBasicMaterial({ color: colorOf(line.color) });
  const distinct = points.filter((point, index) => index === 0 || point.distanceTo(points[index - 1] ?? point) > 1e-6);
  if (distinct.length > 1) {
    const curve = new CatmullRomCurve3(distinct, false, "centripetal");
    out.push(new Mesh(new TubeGeometry(curve, Math.min(600, distinct.length * 12), 0.009, 8), material()));
  }
  if (line.balls) {
    for (const point of points) {
      const ball = new Mesh(new SphereGeometry(0.026, 16, 12), material());
      ball.position.copy(point);
      out.push(ball);
    }
  }
  return out;
}
