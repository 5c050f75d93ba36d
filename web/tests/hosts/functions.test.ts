import { describe, expect, it, vi } from "vitest";
import { bytesOf, MomentCache } from "../../hosts/moments";
import { isFetchedLate, measuredIn, type AnyResult } from "../../hosts/results";

const entry = (name: string, schema = "loss_landscape/1") => ({ name, schema });
const heavy = (bytes: number) => ({ a: { data: new Uint8Array(bytes) } }) as unknown as AnyResult;

describe("what was measured of a run's function", () => {
  it("is listed by measure, and each by the epochs with the final network last", () => {
    const found = measuredIn("function", [
      entry("curvature", "curvature/1"),
      entry("loss_landscape"),
      entry("loss_landscape_epoch_0010"),
      entry("loss_landscape_epoch_0002"),
      entry("data_report", "data_report/1"),
    ]);
    expect(found.map(({ stem }) => stem)).toEqual(["loss_landscape", "curvature"]);
    expect(found[0]?.moments).toEqual([
      { name: "loss_landscape_epoch_0002", epoch: 2, version: "" },
      { name: "loss_landscape_epoch_0010", epoch: 10, version: "" },
      { name: "loss_landscape", epoch: null, version: "" },
    ]);
    expect(measuredIn("function", [])).toEqual([]);
  });

  it("is told by its schema", () => {
    expect(isFetchedLate("input_jacobian/1")).toBe(true);
    expect(isFetchedLate("data_report/1")).toBe(false);
  });
});

describe("the results of many moments", () => {
  it("are read once, and forgotten from the oldest on when there is no more room", async () => {
    const read = vi.fn((name: string) => Promise.resolve(heavy(name.length * 10)));
    const cache = new MomentCache(read, { room: 100 });
    await cache.get("aaaa");
    await cache.get("bbbb");
    await cache.get("aaaa");
    expect(read).toHaveBeenCalledTimes(2);
    await cache.get("cccc"); // 120 bytes: b was looked at longest ago
    await cache.get("aaaa");
    expect(read).toHaveBeenCalledTimes(3);
    await cache.get("bbbb");
    expect(read).toHaveBeenCalledTimes(4);
  });

  it("are had in brief, apart from the whole ones", async () => {
    const read = vi.fn(() => Promise.resolve(heavy(90)));
    const readBrief = vi.fn(() => Promise.resolve(heavy(1)));
    const cache = new MomentCache(read, { readBrief });
    expect(bytesOf(await cache.get("a", "1", true))).toBe(1);
    expect(bytesOf(await cache.get("a", "1"))).toBe(90);
    await cache.get("a", "1", true);
    expect([read.mock.calls.length, readBrief.mock.calls.length]).toEqual([1, 1]);
    const whole = new MomentCache(read);
    expect(await whole.get("a", "", true)).toBe(await whole.get("a"));
  });

  it("keep at least the one that is looked at, and ask again after a failure", async () => {
    let broken = true;
    const cache = new MomentCache(() => (broken ? Promise.reject(new Error("gone")) : Promise.resolve(heavy(999))), {
      room: 10,
    });
    await expect(cache.get("x")).rejects.toThrow("gone");
    broken = false;
    expect(bytesOf(await cache.get("x"))).toBe(999);
    expect(cache.get("x")).toBe(cache.get("x"));
  });
});
