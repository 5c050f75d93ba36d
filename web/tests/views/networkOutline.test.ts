import { describe, expect, it } from "vitest";
import {
  ACROSS,
  DOWN,
  boxesWithin,
  chooseMeasures,
  edgePath,
  edgesWithin,
  extentOf,
  placeBoxes,
  type Box,
} from "../../views/network_outline/geometry";
import { judge, worst, type HealthColumn, type LayerRow } from "../../views/network_outline/health";
import { latestRows } from "../../views/network_outline/latest";
import { layOut, liftEdges, MAX_TRACKS, type Edge } from "../../views/network_outline/layout";
import {
  growTree,
  openToDepth,
  ownersOf,
  readableDepth,
  READABLE,
  treeDepth,
  visibleNodes,
  type NamedLayer,
} from "../../views/network_outline/tree";

/** Numbers that repeat from run to run (Park and Miller 1988). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function chain(count: number): Edge[] {
  return Array.from({ length: count }, (_, i) => [i - 1, i] as const);
}

/** A chain with random skips and branches. */
function someNetwork(random: () => number): { count: number; edges: Edge[] } {
  const count = 2 + Math.floor(random() * 40);
  const edges: Edge[] = [];
  for (let to = 0; to < count; to += 1) {
    const sources = new Set([random() < 0.7 ? to - 1 : Math.floor(random() * (to + 1)) - 1]);
    while (random() < 0.3) sources.add(Math.floor(random() * (to + 1)) - 1);
    for (const from of sources) edges.push([from, to]);
  }
  return { count, edges };
}

const overlap = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

function layer(name: string, kind = "Linear", parameters = 10): NamedLayer {
  return { name, kind, parameters };
}

describe("layout", () => {
  it("never lets boxes overlap, and every edge goes forward, across and down", () => {
    const random = randomNumbers(3);
    for (let trial = 0; trial < 150; trial += 1) {
      const { count, edges } = someNetwork(random);
      const layout = layOut(count, edges);
      for (const edge of layout.edges) expect(layout.rank[edge.to + 1]).toBeGreaterThan(layout.rank[edge.from + 1]!);
      for (const measures of [ACROSS, DOWN]) {
        const boxes = placeBoxes(layout, measures);
        const extent = extentOf(layout, measures);
        boxes.forEach((box, i) => {
          expect(boxes.slice(i + 1).some((other) => overlap(box, other))).toBe(false);
          expect(box.x + box.width).toBeLessThanOrEqual(extent.width);
          expect(box.y + box.height).toBeLessThanOrEqual(extent.height);
        });
        for (const edge of layout.edges) expect(edgePath(edge, layout, boxes, measures)).toMatch(/^M[-\d. LCQ]+$/);
      }
    }
  });

  it("ranks by the longest path from the input", () => {
    const random = randomNumbers(5);
    for (let trial = 0; trial < 50; trial += 1) {
      const { count, edges } = someNetwork(random);
      const longest = (box: number): number =>
        box < 0 ? 0 : 1 + Math.max(...edges.filter(([, to]) => to === box).map(([from]) => longest(from)));
      const small = Math.min(count, 12);
      const layout = layOut(count, edges);
      for (let box = 0; box < small; box += 1) expect(layout.rank[box + 1]).toBe(longest(box));
    }
  });

  it("draws a chain in one lane without arcs", () => {
    const layout = layOut(5, chain(5));
    expect([layout.ranks, layout.lanes, layout.tracks]).toEqual([6, 1, 0]);
    expect(layout.edges.every((edge) => edge.route === "straight")).toBe(true);
  });

  it("draws a residual edge as an arc and a parallel branch in a lane of its own", () => {
    const residual = layOut(3, [...chain(3), [-1, 2]]);
    expect(residual.edges.at(-1)?.route).toBe("arc");
    const branch = layOut(
      4,
      [...chain(3), [-1, 3], [2, 3]].filter(([from, to]) => !(from === 2 && to === 3)).concat([[2, 3]]) as Edge[],
    );
    expect(branch.lanes).toBe(1);
    const fork = layOut(4, [
      [-1, 0],
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 3],
    ]);
    expect(fork.lanes).toBe(2);
    expect(fork.rank[2]).toBe(fork.rank[3]);
  });

  it("nests arcs: no two share a track over a rank while there are tracks", () => {
    const layout = layOut(12, [...chain(12), [-1, 11], [1, 4], [5, 9], [2, 8], [0, 3]]);
    const arcs = layout.edges.filter((edge) => edge.route === "arc");
    for (const [i, a] of arcs.entries()) {
      for (const b of arcs.slice(i + 1)) {
        const apart = a.to <= b.from || b.to <= a.from;
        expect(apart || a.track !== b.track).toBe(true);
      }
    }
    expect(arcs.find((edge) => edge.from === -1)!.track).toBe(layout.tracks - 1);
  });

  it("keeps the edge of a module that runs again, as a return", () => {
    const layout = layOut(3, [...chain(3), [2, 1]]);
    expect(layout.edges.at(-1)).toMatchObject({ from: 2, to: 1, route: "return" });
  });

  it("lays out thousands of layers with bounded tracks and draws only the part in view", () => {
    const count = 5000;
    const edges: Edge[] = [...chain(count), ...Array.from({ length: 1200 }, (_, i): Edge => [i * 4, i * 4 + 3])];
    const layout = layOut(count, edges);
    expect(layout.tracks).toBeLessThanOrEqual(MAX_TRACKS);
    const boxes = placeBoxes(layout, DOWN);
    const view = { x: 0, y: 100_000, width: 1000, height: 700 };
    const shown = boxesWithin(boxes, view);
    expect(shown.length).toBeGreaterThan(8);
    expect(shown.length).toBeLessThan(30);
    const inView = new Set(boxesWithin(boxes, view, 0).map((index) => index - 1));
    const drawn = new Set(edgesWithin(layout.edges, boxes, view, false));
    expect(drawn.size).toBeLessThan(60);
    expect(layout.edges.filter((edge) => inView.has(edge.to)).every((edge) => drawn.has(edge))).toBe(true);
  });

  it("runs across where there is room and down otherwise", () => {
    expect(chooseMeasures(layOut(3, chain(3)), 1000).across).toBe(true);
    expect(chooseMeasures(layOut(20, chain(20)), 1000).across).toBe(false);
  });
});

describe("groups", () => {
  const resnet = [layer("stem.conv", "Conv2d", 432), layer("stem.norm", "BatchNorm2d", 32)];
  for (let block = 0; block < 6; block += 1) {
    for (const [part, kind] of [
      ["conv1", "Conv2d"],
      ["norm1", "BatchNorm2d"],
      ["relu", "ReLU"],
    ] as const) {
      resnet.push(layer(`blocks.${block}.${part}`, kind, block === 0 && part === "conv1" ? 99 : 10));
    }
  }
  resnet.push(layer("head"));

  it("covers every layer exactly once, however far it is unfolded", () => {
    const tree = growTree(resnet);
    for (let depth = 0; depth <= treeDepth(tree); depth += 1) {
      const visible = visibleNodes(tree, openToDepth(tree, depth));
      expect(visible.flatMap((node) => node.layers).sort((a, b) => a - b)).toEqual(resnet.map((_, i) => i));
      expect(ownersOf(visible, resnet.length)).not.toContain(-1);
    }
    expect(visibleNodes(tree, openToDepth(tree, 0)).map((node) => node.label)).toEqual(["stem", "blocks", "head"]);
    expect(visibleNodes(tree, openToDepth(tree, treeDepth(tree)))).toHaveLength(resnet.length);
  });

  it("gathers neighbours that are built alike", () => {
    const tree = growTree(resnet);
    const gathered = visibleNodes(tree, openToDepth(tree, 1)).find((node) => node.repeats > 1);
    expect(gathered).toMatchObject({ label: "blocks.1–5", repeats: 5 });
  });

  it("starts readable for thousands of layers and unfolded for a few", () => {
    const many = Array.from({ length: 3000 }, (_, i) =>
      layer(`encoder.layers.${Math.floor(i / 6)}.part${i % 6}`, `Kind${i % 6}`),
    );
    const tree = growTree(many);
    expect(visibleNodes(tree, openToDepth(tree, readableDepth(tree))).length).toBeLessThanOrEqual(READABLE);
    const small = growTree(resnet);
    expect(readableDepth(small)).toBe(treeDepth(small));
  });

  it("lifts edges between layers to edges between boxes", () => {
    const tree = growTree(resnet);
    const visible = visibleNodes(tree, openToDepth(tree, 0));
    expect(liftEdges(chain(resnet.length), ownersOf(visible, resnet.length))).toEqual([
      [-1, 0],
      [0, 1],
      [1, 2],
    ]);
  });
});

describe("health", () => {
  const healthy: LayerRow = {
    step: 100,
    activation_mean: 0.1,
    activation_std: 1,
    activation_min: -3,
    activation_max: 4,
    activation_zero: 0.4,
    activation_saturated: NaN,
    dead_units: 0,
    gradient_norm: 0.3,
    weight_norm: 5,
    update_ratio: 1e-3,
    recent_update: NaN,
    lost: new Set<HealthColumn>(),
  };
  const stateOf = (change: Partial<LayerRow>, trainable = true): string =>
    judge({ ...healthy, ...change }, trainable).state;

  it("finds a healthy layer well, and leaves out what was not measured", () => {
    const health = judge(healthy, true);
    expect(health.state).toBe("ok");
    expect(health.signs.map((sign) => sign.name)).toEqual(["spread", "dead", "gradient", "update"]);
  });

  it.each([
    ["dead units above half", { dead_units: 0.51 }, "trouble"],
    ["dead units at half", { dead_units: 0.5 }, "watch"],
    ["a few dead units", { dead_units: 0.2 }, "ok"],
    ["saturation above half", { activation_saturated: 0.6 }, "trouble"],
    ["some saturation", { activation_saturated: 0.3 }, "watch"],
    ["no gradient", { gradient_norm: 0 }, "trouble"],
    ["a NaN gradient", { gradient_norm: NaN, lost: new Set(["gradient_norm"]) }, "trouble"],
    ["an infinite gradient", { gradient_norm: Infinity }, "trouble"],
    ["slow updates", { update_ratio: 9e-5 }, "watch"],
    ["the slowest healthy update", { update_ratio: 1e-4 }, "ok"],
    ["the fastest healthy update", { update_ratio: 1e-2 }, "ok"],
    ["large updates", { update_ratio: 2e-2 }, "watch"],
    ["huge updates", { update_ratio: 0.2 }, "trouble"],
    ["no updates", { update_ratio: 0 }, "trouble"],
    ["collapsed outputs", { activation_std: 0 }, "trouble"],
    ["exploded outputs", { activation_max: Infinity }, "trouble"],
    ["NaN outputs", { activation_mean: NaN, activation_std: NaN, lost: new Set(["activation_std"]) }, "trouble"],
    ["large outputs", { activation_std: 500 }, "watch"],
  ] as [string, Partial<LayerRow>, string][])("%s", (_, change, state) => {
    expect(stateOf(change)).toBe(state);
  });

  it("does not judge the gradient of a layer with nothing to train", () => {
    expect(stateOf({ gradient_norm: 0, update_ratio: 0 }, false)).toBe("ok");
  });

  it("forgives a small last update where the layer moved shortly before", () => {
    expect(judge({ ...healthy, update_ratio: 1e-7, recent_update: 1e-3 }, true).state).toBe("ok");
    expect(judge({ ...healthy, update_ratio: 1e-7, recent_update: 1e-6 }, true).state).toBe("watch");
  });

  it("takes a NaN for a missing number where the layer has none to give", () => {
    const bare = { ...healthy, gradient_norm: NaN, weight_norm: NaN, update_ratio: NaN };
    expect(judge(bare, true).signs.map((sign) => sign.name)).toEqual(["spread", "dead"]);
    expect(judge(bare, true).state).toBe("ok");
  });

  it("is in trouble where a NaN was measured, be it the first that was seen of the layer", () => {
    for (const column of ["activation_mean", "gradient_norm", "weight_norm", "update_ratio"] as const)
      expect(judge({ ...healthy, [column]: NaN, lost: new Set([column]) }, true).state).toBe("trouble");
  });

  it("reads each layer's last row of a frame", () => {
    const column = (data: number[]) => ({ kind: "numbers", data: Float64Array.from(data), width: 1 }) as const;
    const rows = latestRows({
      table: "layers",
      rows: 5,
      sampled: false,
      columns: {
        step: column([0, 0, 10, 10, 20]),
        layer: { kind: "labels", codes: Int16Array.from([0, 1, 0, 1, 0]), labels: ["a", "b"] },
        gradient_norm: { ...column([1, 2, 3, NaN, 5]), lost: Uint8Array.from([0, 0, 0, 1, 0]) },
        update_ratio: column([0.1, NaN, 0.3, NaN, 0.2]),
      },
    });
    expect(rows.get("a")).toMatchObject({ step: 20, gradient_norm: 5, recent_update: 0.2 });
    expect(rows.get("b")).toMatchObject({ step: 10, gradient_norm: NaN });
    expect(rows.get("b")!.lost).toEqual(new Set(["gradient_norm"]));
  });

  it("takes the worst state, and no state where nothing is known", () => {
    expect(worst(["ok", "trouble", "watch"])).toBe("trouble");
    expect(worst([])).toBe("unknown");
  });
});
