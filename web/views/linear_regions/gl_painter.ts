/** Cells and lines on a graphics card, by WebGL 2. It draws into a canvas of its own, which others copy from. */

import { seen, type Camera } from "../../parts/camera";
import { rampTable } from "../../parts/color";
import type { CellMesh, Segments } from "./mesh";
import { visible } from "./mesh";
import type { Layer, LineStyle, Painter, Picture } from "./painter";

const CELLS_VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
layout(location = 0) in vec2 place;
layout(location = 1) in uint owner;
layout(location = 2) in float value;
uniform vec4 camera;
uniform sampler2D palette;
flat out vec4 color;
out float height;
void main() {
  gl_Position = vec4((place - camera.xy) * camera.zw, 0.0, 1.0);
  color = texelFetch(palette, ivec2(int(owner & 2047u), int(owner >> 11u)), 0);
  height = value;
}`;

const CELLS_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 color;
in float height;
uniform sampler2D ramp;
uniform vec3 scale;
out vec4 painted;
void main() {
  painted = scale.z > 0.5
    ? texture(ramp, vec2((clamp((height - scale.x) * scale.y, 0.0, 1.0) * 255.0 + 0.5) / 256.0, 0.5))
    : color;
}`;

const LINES_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec4 ends;
uniform vec4 camera;
uniform vec3 pixels;
out float across;
void main() {
  vec2 a = (ends.xy - camera.xy) * camera.zw;
  vec2 b = (ends.zw - camera.xy) * camera.zw;
  vec2 along = (b - a) * pixels.xy;
  vec2 side = length(along) > 0.0 ? normalize(vec2(-along.y, along.x)) : vec2(0.0, 1.0);
  float half_width = pixels.z * 0.5 + 0.75;
  float sign = float(gl_VertexID & 1) * 2.0 - 1.0;
  across = sign * half_width;
  gl_Position = vec4(((gl_VertexID >> 1) == 0 ? a : b) + side * across / pixels.xy, 0.0, 1.0);
}`;

const LINES_FRAGMENT = `#version 300 es
precision highp float;
in float across;
uniform vec4 ink;
uniform vec3 pixels;
out vec4 painted;
void main() {
  float cover = clamp(pixels.z * 0.5 + 0.5 - abs(across), 0.0, 1.0);
  painted = ink * cover;
}`;

const HAIRS_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 place;
uniform vec4 camera;
void main() {
  gl_Position = vec4((place - camera.xy) * camera.zw, 0.0, 1.0);
}`;

const HAIRS_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 ink;
out vec4 painted;
void main() {
  painted = ink;
}`;

const MOST_STRIPS = 8000;

interface Mesh {
  readonly array: WebGLVertexArrayObject;
  readonly values: WebGLBuffer | null;
  readonly mesh: Pick<CellMesh, "triangles" | "tiles">;
  readonly palette: WebGLTexture;
  readonly buffers: readonly WebGLBuffer[];
}

export class GlPainter implements Painter {
  readonly canvas: HTMLCanvasElement;
  readonly #gl: WebGL2RenderingContext;
  readonly #cells: WebGLProgram;
  readonly #lines: WebGLProgram;
  readonly #hairs: WebGLProgram;
  readonly #ramp: WebGLTexture;
  #base: Mesh | null = null;
  #over: Mesh | null = null;
  #segments = new Map<Layer, { array: WebGLVertexArrayObject; buffer: WebGLBuffer; segments: Segments }>();
  #values: Float32Array | null = null;
  lost = false;

  /** Null where there is no WebGL 2. */
  static create(onlost: () => void): GlPainter | null {
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl2", {
      antialias: false,
      depth: false,
      alpha: true,
      preserveDrawingBuffer: true,
    });
    if (!gl || gl.isContextLost()) return null;
    try {
      return new GlPainter(canvas, gl, onlost);
    } catch {
      return null; // a driver that cannot compile these few lines
    }
  }

  private constructor(canvas: HTMLCanvasElement, gl: WebGL2RenderingContext, onlost: () => void) {
    this.canvas = canvas;
    this.#gl = gl;
    this.#cells = link(gl, CELLS_VERTEX, CELLS_FRAGMENT);
    this.#lines = link(gl, LINES_VERTEX, LINES_FRAGMENT);
    this.#hairs = link(gl, HAIRS_VERTEX, HAIRS_FRAGMENT);
    this.#ramp = texture(gl);
    canvas.addEventListener("webglcontextlost", () => {
      this.lost = true;
      onlost();
    });
  }

  setCells(mesh: CellMesh): void {
    free(this.#gl, this.#base);
    this.#base = this.#upload(mesh.places, mesh.owner, mesh, true);
    this.#values = null;
  }

  setPieces(places: Float32Array, triangles: Uint32Array<ArrayBuffer>, owner: Uint32Array): void {
    free(this.#gl, this.#over);
    const whole = { first: 0, count: triangles.length, left: 0, right: 1, bottom: 0, top: 1 };
    this.#over = triangles.length ? this.#upload(places, owner, { triangles, tiles: [whole] }, false) : null;
  }

  #upload(places: Float32Array, owner: Uint32Array, mesh: Mesh["mesh"], valued: boolean): Mesh {
    const gl = this.#gl;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const buffers = [fill(gl, gl.ARRAY_BUFFER, places)];
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    buffers.push(fill(gl, gl.ARRAY_BUFFER, owner));
    gl.enableVertexAttribArray(1);
    gl.vertexAttribIPointer(1, 1, gl.UNSIGNED_INT, 0, 0);
    const values = valued ? gl.createBuffer() : null;
    if (values) buffers.push(values);
    buffers.push(fill(gl, gl.ELEMENT_ARRAY_BUFFER, mesh.triangles));
    gl.bindVertexArray(null);
    return { array, values, mesh, palette: texture(gl), buffers };
  }

  setValues(values: Float32Array): void {
    const gl = this.#gl;
    if (!this.#base?.values || values === this.#values) return;
    this.#values = values;
    gl.bindVertexArray(this.#base.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#base.values);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(2);
    gl.vertexAttribPointer(2, 1, gl.FLOAT, false, 0, 0);
    gl.bindVertexArray(null);
  }

  setPalette(which: "cells" | "pieces", bytes: Uint8Array): void {
    const target = which === "cells" ? this.#base : this.#over;
    if (!target) return;
    const gl = this.#gl;
    const rows = Math.max(1, Math.ceil(bytes.length / 8192));
    const padded = new Uint8Array(rows * 8192);
    padded.set(bytes);
    gl.bindTexture(gl.TEXTURE_2D, target.palette);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 2048, rows, 0, gl.RGBA, gl.UNSIGNED_BYTE, padded);
  }

  setRamp(ramp: "sequential" | "diverging", dark: boolean): void {
    const gl = this.#gl;
    gl.bindTexture(gl.TEXTURE_2D, this.#ramp);
    gl.texImage2D(
      gl.TEXTURE_2D,
      0,
      gl.RGBA8,
      256,
      1,
      0,
      gl.RGBA,
      gl.UNSIGNED_BYTE,
      new Uint8Array(rampTable(ramp, dark)),
    );
  }

  setLines(which: Layer, segments: Segments | null): void {
    const gl = this.#gl;
    const before = this.#segments.get(which);
    if (before?.segments === segments) return;
    if (before) {
      gl.deleteBuffer(before.buffer);
      gl.deleteVertexArray(before.array);
      this.#segments.delete(which);
    }
    if (!segments?.ends.length) return;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const buffer = fill(gl, gl.ARRAY_BUFFER, segments.ends);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribDivisor(0, 1);
    gl.bindVertexArray(null);
    this.#segments.set(which, { array, buffer, segments });
  }

  draw(picture: Picture): void {
    const gl = this.#gl;
    const { camera, width, height } = picture;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.disable(gl.BLEND);
    gl.useProgram(this.#cells);
    this.#place(this.#cells, camera);
    const valued = picture.scale !== null && this.#values !== null;
    const { low, high } = picture.scale ?? { low: 0, high: 1 };
    gl.uniform1i(gl.getUniformLocation(this.#cells, "palette"), 0);
    gl.uniform1i(gl.getUniformLocation(this.#cells, "ramp"), 1);
    gl.uniform3f(gl.getUniformLocation(this.#cells, "scale"), low, 1 / (high - low || 1), valued ? 1 : 0);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, this.#ramp);
    gl.activeTexture(gl.TEXTURE0);
    this.#fill(this.#base, camera);
    if (picture.pieces) this.#fill(this.#over, camera);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const line of picture.lines) this.#draw(line, picture);
    gl.bindVertexArray(null);
  }

  /** Few lines are strips with soft edges; many are plain lines, which cost a card (and even more its absence) less. */
  #draw(line: LineStyle, { camera, width, height, ratio }: Picture): void {
    const known = this.#segments.get(line.layer);
    if (!known) return;
    const gl = this.#gl;
    const stretches = visible(known.segments.tiles, seen(camera));
    const many = stretches.reduce((sum, { count }) => sum + count, 0) > MOST_STRIPS;
    const program = many ? this.#hairs : this.#lines;
    gl.useProgram(program);
    this.#place(program, camera);
    const ink = [...line.color.map((part) => part / 255), 1].map((part) => part * line.opacity);
    gl.uniform4fv(gl.getUniformLocation(program, "ink"), ink);
    if (!many) gl.uniform3f(gl.getUniformLocation(program, "pixels"), width / 2, height / 2, line.width * ratio);
    gl.bindVertexArray(known.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, known.buffer);
    gl.vertexAttribDivisor(0, many ? 0 : 1);
    if (many) gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    for (const { first, count } of stretches) {
      if (many) {
        gl.drawArrays(gl.LINES, first * 2, count * 2);
        continue;
      }
      gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, first * 16);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
    }
  }

  #place(program: WebGLProgram, { x, y, zoom }: Camera): void {
    this.#gl.uniform4f(this.#gl.getUniformLocation(program, "camera"), x, y, 2 * zoom, 2 * zoom);
  }

  #fill(mesh: Mesh | null, camera: Camera): void {
    if (!mesh) return;
    const gl = this.#gl;
    gl.bindVertexArray(mesh.array);
    gl.bindTexture(gl.TEXTURE_2D, mesh.palette);
    for (const { first, count } of visible(mesh.mesh.tiles, seen(camera)))
      gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, first * 4);
  }

  destroy(): void {
    this.#gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function link(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) throw new Error("no shader");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "not linked");
  return program;
}

function fill(gl: WebGL2RenderingContext, target: number, data: ArrayBufferView<ArrayBufferLike>): WebGLBuffer {
  const buffer = gl.createBuffer();
  gl.bindBuffer(target, buffer);
  gl.bufferData(target, data as ArrayBufferView<ArrayBuffer>, gl.STATIC_DRAW);
  return buffer;
}

/** A table of colours: read as it is, without mixing neighbours. */
function texture(gl: WebGL2RenderingContext): WebGLTexture {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
    gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return made;
}

function free(gl: WebGL2RenderingContext, mesh: Mesh | null): void {
  if (!mesh) return;
  gl.deleteVertexArray(mesh.array);
  gl.deleteTexture(mesh.palette);
  for (const buffer of mesh.buffers) gl.deleteBuffer(buffer);
}
