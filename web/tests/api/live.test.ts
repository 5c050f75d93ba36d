import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { numbers } from "../../api/frames";
import { LiveConnection, type Socket, type Subscription } from "../../api/live";
import { packRows } from "./pack";

class FakeSocket implements Socket {
  binaryType: BinaryType = "blob";
  onopen: Socket["onopen"] = null;
  onclose: Socket["onclose"] = null;
  onmessage: Socket["onmessage"] = null;
  readonly sent: {
    run: string | null;
    runs: boolean;
    tables: Record<string, { after: number; points: number; layer: string | null }>;
  }[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as FakeSocket["sent"][number]);
  }
  close(): void {
    this.closed = true;
    this.onclose?.(new CloseEvent("close"));
  }
  accept(): void {
    this.onopen?.(new Event("open"));
  }
  say(data: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data: data instanceof ArrayBuffer ? data : JSON.stringify(data) }));
  }
  get asked() {
    return this.sent.at(-1);
  }
}

const WATCH: Subscription = { runs: false, run: "r1", tables: { steps: { points: 100 } } };

describe("the live connection", () => {
  let sockets: FakeSocket[];
  let changes: string[];
  let live: LiveConnection;
  let refused = false;
  const last = () => sockets.at(-1) as FakeSocket;
  const rows = (first: number, values: number[], run = "r1") =>
    packRows({ run, first, next: first + values.length, numbers: { step: values } });

  beforeEach(() => {
    vi.useFakeTimers();
    sockets = [];
    changes = [];
    refused = false;
    live = new LiveConnection({
      open: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      onchange: (change) => changes.push(change),
      isRefused: () => Promise.resolve(refused),
      random: () => 0.5,
    });
  });
  afterEach(() => {
    live.close();
    vi.useRealTimers();
  });

  it("asks for what was wished for before it was open", () => {
    live.watch(WATCH);
    expect(last().sent).toEqual([]);
    last().accept();
    expect(live.status).toBe("live");
    expect(last().binaryType).toBe("arraybuffer");
    expect(last().asked).toMatchObject({
      type: "watch",
      run: "r1",
      tables: { steps: { after: 0, points: 100, layer: null } },
    });
  });

  it("merges rows and says which table changed", () => {
    live.watch(WATCH);
    last().accept();
    last().say(rows(0, [0, 1]));
    last().say(rows(2, [2]));
    expect([...numbers(live.frame("steps"), "step")]).toEqual([0, 1, 2]);
    expect(changes).toEqual(["status", "steps", "steps"]);
  });

  it("comes back by itself, later each time, and goes on from the last row", () => {
    live.watch(WATCH);
    last().accept();
    last().say(rows(0, [0, 1, 2]));
    last().onclose?.(new CloseEvent("close"));
    expect(live.status).toBe("reconnecting");
    const waits: number[] = [];
    for (let attempt = 0; attempt < 8; attempt++) {
      const before = sockets.length;
      let waited = 0;
      while (sockets.length === before && waited < 20_000) {
        vi.advanceTimersByTime(10);
        waited += 10;
      }
      waits.push(waited);
      if (attempt < 7) last().onclose?.(new CloseEvent("close"));
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[0]).toBeLessThanOrEqual(300);
    expect(Math.max(...waits)).toBeLessThanOrEqual(5100);
    expect([...numbers(live.frame("steps"), "step")]).toEqual([0, 1, 2]);
    last().accept();
    expect(live.status).toBe("live");
    expect(last().asked?.tables.steps?.after).toBe(3);
    last().say(rows(3, [3]));
    expect([...numbers(live.frame("steps"), "step")]).toEqual([0, 1, 2, 3]);
  });

  it("keeps tables that are wished for as before, and starts the others over", () => {
    live.watch({ ...WATCH, tables: { ...WATCH.tables, layers: { layer: "fc1" } } });
    last().accept();
    last().say(rows(0, [0, 1]));
    live.watch({ ...WATCH, tables: { ...WATCH.tables, layers: { layer: "fc2" } } });
    expect(last().asked?.tables).toMatchObject({ steps: { after: 2 }, layers: { after: 0, layer: "fc2" } });
    last().say(packRows({ table: "layers", first: 7, next: 8, labels: { layer: ["fc1"] }, numbers: { step: [7] } }));
    expect(live.frame("layers").rows).toBe(0); // an answer to the question before
  });

  it("forgets the run that was shown when another is asked for", () => {
    live.watch(WATCH);
    last().accept();
    last().say(rows(0, [0, 1]));
    live.watch({ ...WATCH, run: "r2" });
    expect(live.frame("steps").rows).toBe(0);
    last().say(rows(0, [5], "r1"));
    expect(live.frame("steps").rows).toBe(0);
    last().say(rows(0, [9], "r2"));
    expect([...numbers(live.frame("steps"), "step")]).toEqual([9]);
  });

  it("asks anew where rows are missing, and shows the old ones until the answer is there", () => {
    live.watch(WATCH);
    last().accept();
    last().say(rows(0, [0, 1]));
    last().say(rows(5, [5]));
    expect(last().asked?.tables.steps?.after).toBe(0);
    expect(live.frame("steps").rows).toBe(2);
    last().say(rows(0, [0, 1, 2, 3, 4, 5]));
    expect(live.frame("steps").rows).toBe(6);
  });

  it("asks for a thinned table when it has grown long", () => {
    live.watch(WATCH);
    last().accept();
    last().say(rows(0, [0]));
    const before = last().sent.length;
    last().say(
      rows(
        1,
        Array.from({ length: 450 }, (_, index) => index + 1),
      ),
    );
    expect(last().sent.length).toBe(before + 1);
    expect(last().asked?.tables.steps?.after).toBe(0);
    expect(live.frame("steps").rows).toBe(451);
  });

  it("tells a server that turns us away from one that is gone", async () => {
    refused = true;
    last().onclose?.(new CloseEvent("close"));
    await vi.advanceTimersByTimeAsync(0);
    expect(live.status).toBe("refused");
    await vi.advanceTimersByTimeAsync(1000);
    refused = false;
    last().accept();
    expect(live.status).toBe("live");
  });

  it("passes on runs, the run and errors", () => {
    live.watch({ ...WATCH, runs: true });
    last().accept();
    last().say({ type: "runs", runs: [] });
    last().say({ type: "error", error: { message: "there is no run r1", where: "runs", remedy: "" } });
    expect(live.runs).toEqual([]);
    expect(live.error?.message).toBe("there is no run r1");
    last().say({ type: "run", run: { id: "other" } });
    expect(live.run).toBeNull();
    last().say({ type: "run", run: { id: "r1" } });
    expect(live.run?.id).toBe("r1");
    expect(live.error).toBeNull();
    expect(changes).toEqual(["status", "runs", "error", "run"]);
  });

  it("stays closed once closed", () => {
    live.close();
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(live.status).toBe("closed");
  });
});
