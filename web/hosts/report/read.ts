/** The data that an offline report carries: JSON with payloads in base64. */

import { decodeSegment, emptyFrame, type Frame } from "../../api/frames";
import { decodePayload, PayloadError } from "../../api/payload";
import type { ReportData, RunDetail, TableName, WatchedScript } from "../../api/types";
import { isFetchedLate, sortResults, type AnyResult, type RunResults } from "../results";

export interface Report {
  readonly run: RunDetail;
  readonly results: RunResults;
  /** One of the results that are decoded only when they are looked at: what was measured of the network. */
  readonly named: (name: string) => AnyResult;
  /** What a watched script consists of; null of another run. */
  readonly script: () => WatchedScript | null;
  readonly frame: (table: TableName) => Frame;
}

/** Decode the text of `#pellucid-data`. */
export function readReport(text: string): Report {
  if (text.trim() === "") throw new PayloadError("the report carries no data");
  const data = JSON.parse(text) as ReportData;
  const named = (name: string): AnyResult => decodePayload<AnyResult>(fromBase64(data.results[name] ?? ""));
  const large = new Set(data.run.results.filter(({ schema }) => isFetchedLate(schema)).map(({ name }) => name));
  const results = Object.keys(data.results).filter((name) => !large.has(name));
  const frames = new Map(
    Object.entries(data.tables).map(([table, frame]) => [table, decodeSegment(fromBase64(frame)).frame]),
  );
  return {
    run: data.run,
    results: sortResults(results.map(named)),
    named,
    script: () => ("watched_script" in data.results ? (named("watched_script") as WatchedScript) : null),
    frame: (table) => frames.get(table) ?? emptyFrame(table),
  };
}

/** Base64 as bytes. */
export function fromBase64(text: string): ArrayBuffer {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes.buffer;
}
