import { readFileSync } from "node:fs";
import { join } from "node:path";
import { flushSync, mount, unmount } from "svelte";
import { describe, expect, it } from "vitest";
import { decodePayload } from "../../api/payload";
import { decodePicture, type CellPart } from "../../api/region_parts";
import type { LinearRegions as Regions } from "../../api/types";
import { areaOf, localMap } from "../../views/linear_regions/affine";
import { decide } from "../../views/linear_regions/decision";
import { sides } from "../../views/linear_regions/kinks";
import { localParts } from "../../views/linear_regions/local_parts";
import { CellFinder } from "../../views/linear_regions/locate";
import { allEdges, buildMesh, segmentsBetween, unitVertices } from "../../views/linear_regions/mesh";
import { scatter } from "../../views/linear_regions/patterns";
import LinearRegions from "../../views/LinearRegions.svelte";

const folder = join(import.meta.dirname, "regions");
const bytes = (name: string) => Uint8Array.from(readFileSync(join(folder, name))).buffer;
const parts = JSON.parse(readFileSync(join(folder, "parts.json"), "utf-8")) as Record<string, string>;

/** What `make_regions.py` packed for a question. */
function answer(query: Readonly<Record<string, string | number>>): Promise<ArrayBuffer> {
  const words = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)])).toString();
  const found = parts[words];
  return found ? Promise.resolve(Uint8Array.from(Buffer.from(found, "base64")).buffer) : Promise.reject(Error(words));
}

const whole = decodePayload<Regions>(bytes("whole.safetensors"));
const picture = decodePicture(bytes("picture.safetensors"), answer);
const [own, asked] = [localParts(whole), picture.parts];
const cells = whole.cell_start.data.length - 1;

describe("a picture of linear regions", () => {
  it("is far smaller than the whole", () => {
    expect(bytes("picture.safetensors").byteLength).toBeLessThan(0.4 * bytes("whole.safetensors").byteLength);
  });

  it("has the same cells, in single precision", () => {
    expect(Array.from(picture.cell_start.data)).toEqual(Array.from(whole.cell_start.data));
    expect(Array.from(picture.cell_vertex.data)).toEqual(Array.from(whole.cell_vertex.data));
    expect(picture.unit).toEqual(Float32Array.from(unitVertices(whole)));
    expect(picture.outputs.data).toEqual(Float32Array.from(whole.outputs.data));
    expect(picture.kinks).toEqual(whole.kinks);
    expect(picture.proofs).toEqual(whole.proofs);
    expect(picture.plane).toEqual(whole.plane);
    expect(asked.bending).toEqual(own.bending);
  });

  it("is drawn alike: triangles, classes, and every edge once", () => {
    const [from, to] = [whole, picture].map((one) => buildMesh(one, unitVertices(one)));
    expect(to!.places).toEqual(from!.places);
    expect(to!.triangles).toEqual(from!.triangles);
    expect(to!.owner).toEqual(from!.owner);
    const [before, after] = [whole, picture].map((one) => decide(one, unitVertices(one)));
    expect(after!.winner).toEqual(before!.winner);
    expect(after!.pieceClass).toEqual(before!.pieceClass);
    const [listed, told] = [
      segmentsBetween(whole.edge_vertex.data, unitVertices(whole)),
      allEdges(picture, picture.unit),
    ].map(({ ends }) => lines(ends));
    expect(told!.length).toBe(whole.edge_vertex.shape[0]);
    expect(told).toEqual(listed);
  });

  it("finds the cell under a place", () => {
    const [start, ring] = [whole.cell_start.data, whole.cell_vertex.data];
    const exact = new CellFinder(start, ring, unitVertices(whole));
    const single = new CellFinder(picture.cell_start.data, picture.cell_vertex.data, picture.unit);
    for (let k = 0; k < 3000; k++) {
      const [x, y] = [scatter(k, 1), scatter(k, 2)];
      expect(single.at(x, y)).toBe(exact.at(x, y));
    }
  });
});

describe("a part that the server packs", () => {
  it("tells a cell as the whole does", async () => {
    for (let cell = 0; cell < cells; cell += 10) {
      const [told, known] = [await asked.cell(cell), (await own.cell(cell)) as CellPart];
      expect(Array.from(told.points)).toEqual(Array.from(known.points));
      expect(Array.from(told.outputs)).toEqual(Array.from(known.outputs));
      expect(sides(picture, told)).toEqual(sides(whole, known));
      expect(told.states.map((one) => Array.from(one))).toEqual(known.states.map((one) => Array.from(one)));
      expect(localMap(told)).toEqual(localMap(known));
      expect(areaOf(told.points, picture.plane)).toBe(areaOf(known.points, whole.plane));
    }
  });

  it("has the state of a unit and the number of active ones in every cell", async () => {
    for (let layer = -1; layer < whole.kinks.length; layer++) {
      expect(Array.from(await asked.active(layer))).toEqual(Array.from(await own.active(layer)));
      for (let unit = 0; layer >= 0 && unit < 3; unit++)
        expect(Array.from(await asked.state(layer, unit))).toEqual(Array.from(await own.state(layer, unit)));
    }
  });

  it("colours patterns alike", async () => {
    for (let layer = -1; layer < whole.kinks.length; layer++) {
      const [told, known] = [Array.from(await asked.pattern(layer)), Array.from(await own.pattern(layer))];
      expect(told.length).toBe(cells);
      told.forEach((code, cell) => {
        const turned = Math.abs((code >> 2) - (known[cell]! >> 2)); // rounding may turn a hue by a degree
        expect(Math.min(turned, 360 - turned)).toBeLessThanOrEqual(1);
        expect(Math.abs((code & 3) - (known[cell]! & 3))).toBeLessThanOrEqual(1);
      });
      const same = told.filter((code, cell) => code === known[cell]).length;
      expect(same / cells).toBeGreaterThan(0.98);
    }
  });

  it("has every cell's slope", async () => {
    for (let output = 0; output < 3; output++) {
      const [told, known] = [await asked.slope(output), await own.slope(output)];
      for (let cell = 0; cell < cells; cell++)
        expect(Math.abs(told[cell]! - known[cell]!)).toBeLessThanOrEqual(1e-6 * known[cell]! + 1e-12);
    }
  });

  it("has the edges at which a layer or a unit bends the network", async () => {
    for (let layer = 0; layer < whole.kinks.length; layer++)
      for (const unit of [-1, 0, 2])
        expect(Array.from(await asked.bends(layer, unit))).toEqual(Array.from(await own.bends(layer, unit)));
  });
});

describe("the view of a picture", () => {
  it("tells the cell of a pinned place once its part has come", async () => {
    const cell = 20;
    const { points } = (await own.cell(cell)) as CellPart;
    const middle = [0, 1].map((axis) => {
      const values = Array.from(points).filter((_, at) => at % 2 === axis);
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    });
    document.body.replaceChildren();
    const mounted = mount(LinearRegions, { target: document.body, props: { result: picture, pinned: middle as [number, number] } }); // prettier-ignore
    flushSync();
    expect(document.body.textContent).toContain("Point at a cell");
    await new Promise((done) => setTimeout(done));
    flushSync();
    expect(document.body.textContent).toContain(`Cell ${cell}`);
    await unmount(mounted);
  });
});

/** Segments as words that compare, whichever end comes first. */
function lines(ends: Float32Array): string[] {
  return Array.from({ length: ends.length / 4 }, (_, at) => {
    const [a, b] = [ends.slice(4 * at, 4 * at + 2).join(), ends.slice(4 * at + 2, 4 * at + 4).join()];
    return [a, b].sort().join(" ");
  }).sort();
}
