/** Asking the server: runs, results and tables. Every failure is an ApiError with a place and a remedy. */

import { decodeSegment, type Frame } from "./frames";
import { decodePayload } from "./payload";
import { decodePicture, type RegionPicture } from "./region_parts";
import type { AskRequest, ErrorReply, Results, RunDetail, RunList, TableName, Version } from "./types";

/** What the server said was wrong, or that it could not be reached (status 0). */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    message: string,
    readonly status: number,
    readonly where = "",
    readonly remedy = "",
  ) {
    super(message);
  }
}

export interface TableQuery {
  readonly after?: number;
  readonly points?: number;
  readonly layer?: string;
  readonly kind?: string;
}

export async function fetchVersion(): Promise<Version> {
  return (await ask("/api/version")).json() as Promise<Version>;
}

export async function fetchRuns(): Promise<RunList> {
  return (await ask("/api/runs")).json() as Promise<RunList>;
}

export async function fetchRun(run: string): Promise<RunDetail> {
  return (await ask(`/api/runs/${encodeURIComponent(run)}`)).json() as Promise<RunDetail>;
}

/**
 * A result, decoded; `slim`, without what no view draws, `brief`, with what moments are compared by alone. The caller
 * knows its type from the schema in the run's detail.
 */
export async function fetchResult(
  run: string,
  name: string,
  { slim = false, brief = false }: { readonly slim?: boolean; readonly brief?: boolean } = {},
): Promise<Results[keyof Results]> {
  const path = `/api/runs/${encodeURIComponent(run)}/results/${encodeURIComponent(name)}`;
  const answer = await ask(slim ? `${path}?slim=true` : brief ? `${path}?brief=true` : path);
  return decodePayload<Results[keyof Results]>(await answer.arrayBuffer());
}

/** Linear regions as they are first drawn; their parts are asked for as they are needed. */
export async function fetchRegions(run: string, name: string): Promise<RegionPicture> {
  const path = `/api/runs/${encodeURIComponent(run)}/results/${encodeURIComponent(name)}`;
  const picture = await ask(`${path}?slim=true`);
  return decodePicture(await picture.arrayBuffer(), async (query) => {
    const words = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
    return (await ask(`${path}/part?${words.toString()}`)).arrayBuffer();
  });
}

/** A question to one example of a run, as `pellucid.lenses.trace_questions` takes it. */
export interface TraceQuestion {
  readonly ask: "value" | "gradient" | "update" | "what_if" | "inside" | "loss" | "stepper" | "outline" | "check";
  readonly name?: string;
  readonly index?: readonly number[];
  readonly value?: number;
  readonly step?: number | string;
}

/** Ask about one example; the caller knows the answer's type from the question. */
export async function askTrace<Answer>(
  run: string,
  example: number,
  question: TraceQuestion,
  signal?: AbortSignal,
): Promise<Answer> {
  const body = JSON.stringify({ kind: "trace", example, question } satisfies AskRequest);
  const headers = { "Content-Type": "application/json" };
  const answer = await ask(`/api/runs/${encodeURIComponent(run)}/ask`, { method: "POST", headers, body, signal });
  return decodePayload<Answer>(await answer.arrayBuffer());
}

/** A table of a run, thinned to about `points` rows a series. */
export async function fetchTable(run: string, table: TableName, query: TableQuery = {}): Promise<Frame> {
  const words = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(words.map(([key, value]) => [key, String(value)]));
  const answer = await ask(`/api/runs/${encodeURIComponent(run)}/tables/${table}?${search.toString()}`);
  return decodeSegment(await answer.arrayBuffer()).frame;
}

/** Whether the server answers but does not know this browser. */
export async function isRefused(): Promise<boolean> {
  try {
    await fetchVersion();
    return false;
  } catch (error) {
    return error instanceof ApiError && (error.status === 401 || error.status === 403);
  }
}

async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error; // the caller's own wish
    throw new ApiError("the server does not answer", 0, "", "start it again with pellucid open");
  }
  if (!answer.ok) throw await readError(answer);
  return answer;
}

async function readError(answer: Response): Promise<ApiError> {
  try {
    const { error } = (await answer.json()) as ErrorReply;
    return new ApiError(error.message, answer.status, error.where, error.remedy);
  } catch {
    return new ApiError(`the server answered ${answer.status} ${answer.statusText}`.trim(), answer.status);
  }
}
