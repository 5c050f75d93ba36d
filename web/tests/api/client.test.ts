import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, askTrace, fetchResult, fetchRun, fetchTable, isRefused } from "../../api/client";
import { pack, packRows } from "./pack";

function answer(body: BodyInit, status = 200): ReturnType<typeof vi.fn> {
  const fake = vi.fn(() => Promise.resolve(new Response(body, { status })));
  vi.stubGlobal("fetch", fake);
  return fake;
}

afterEach(() => vi.unstubAllGlobals());

describe("asking the server", () => {
  it("writes addresses that survive odd names", async () => {
    const fake = answer(packRows({ first: 0, next: 1, numbers: { step: [7] } }));
    const frame = await fetchTable("a/b c", "layers", { points: 40, layer: "stage.0 & 1" });
    expect(frame.rows).toBe(1);
    expect(fake.mock.calls[0]?.[0]).toBe("/api/runs/a%2Fb%20c/tables/layers?points=40&layer=stage.0+%26+1");
  });

  it("decodes results", async () => {
    answer(pack({ schema: "cross_validation/1", folds: 5 }, {}));
    expect(await fetchResult("r", "cross_validation")).toMatchObject({ folds: 5 });
  });

  it("asks for results without what no view draws, where that is wished", async () => {
    const fake = answer(pack({ schema: "watched_script/1", calls: [] }, {}));
    await fetchResult("r", "watched_script", { slim: true });
    expect(fake.mock.calls[0]?.[0]).toBe("/api/runs/r/results/watched_script?slim=true");
  });

  it("says what the server said was wrong, where, and what to do", async () => {
    answer(JSON.stringify({ error: { message: "there is no run 'x'", where: "/runs", remedy: "list them" } }), 404);
    const error = await fetchRun("x").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 404, message: "there is no run 'x'", where: "/runs", remedy: "list them" });
  });

  it("says something of an answer in another form, and of none", async () => {
    answer("<html>", 502);
    await expect(fetchRun("x")).rejects.toMatchObject({ status: 502 });
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(fetchRun("x")).rejects.toMatchObject({ status: 0, remedy: "start it again with pellucid open" });
  });

  it("asks about an example, and hears a result", async () => {
    const fake = answer(pack({ schema: "trace_stepper/1", model: "Net" }, {}));
    const stop = new AbortController();
    expect(await askTrace("a b", 12, { ask: "stepper" }, stop.signal)).toMatchObject({ model: "Net" });
    const [address, options] = fake.mock.calls[0] as unknown as [string, RequestInit];
    expect(address).toBe("/api/runs/a%20b/ask");
    expect(options).toMatchObject({ method: "POST", headers: { "Content-Type": "application/json" } });
    expect(JSON.parse(options.body as string)).toEqual({ kind: "trace", example: 12, question: { ask: "stepper" } });
  });

  it("does not blame the server for a question that was taken back", async () => {
    const stop = new AbortController();
    stop.abort();
    vi.stubGlobal("fetch", () => Promise.reject(new DOMException("aborted", "AbortError")));
    await expect(askTrace("r", 1, { ask: "loss" }, stop.signal)).rejects.toMatchObject({ name: "AbortError" });
  });

  it("knows when it is turned away", async () => {
    answer("{}", 401);
    expect(await isRefused()).toBe(true);
    answer("{}", 500);
    expect(await isRefused()).toBe(false);
    answer("{}");
    expect(await isRefused()).toBe(false);
  });
});
