/** The results of the run that is shown: fetched once, and again when they were replaced or the run came to an end. */

import { ApiError, fetchResult } from "../../api/client";
import type { RunDetail } from "../../api/types";
import { isFetchedLate, sortResults, type AnyResult } from "../results";

interface Fetched {
  readonly key: string;
  readonly value: AnyResult | null;
}

export class ResultCache {
  #fetched: Readonly<Record<string, Fetched>> = $state.raw({});
  #run = "";
  error: ApiError | null = $state.raw(null);
  /** How many results are on their way. */
  pending = $state(0);

  results = $derived(sortResults(Object.values(this.#fetched).flatMap(({ value }) => value ?? [])));

  /** Fetch what `run` has and we have not, but for what is measured of its network. */
  update(run: RunDetail): void {
    if (run.id !== this.#run) {
      this.#run = run.id;
      this.#fetched = {};
      this.error = null;
    }
    for (const { name, schema, version } of run.results) {
      if (isFetchedLate(schema)) continue; // fetched when it is looked at
      const key = [schema, version, run.status, run.resumes].join(" ");
      if (this.#fetched[name]?.key !== key) void this.#fetch(run.id, name, key);
    }
  }

  async #fetch(run: string, name: string, key: string): Promise<void> {
    this.#fetched = { ...this.#fetched, [name]: { key, value: this.#fetched[name]?.value ?? null } };
    this.pending += 1;
    try {
      const value = await fetchResult(run, name);
      if (run === this.#run) this.#fetched = { ...this.#fetched, [name]: { key, value } };
    } catch (error) {
      if (run === this.#run) this.error = error instanceof ApiError ? error : unreadable(name, error);
    } finally {
      this.pending -= 1;
    }
  }
}

/** A payload that arrived but cannot be decoded. */
function unreadable(name: string, error: unknown): ApiError {
  const why = error instanceof Error ? error.message : String(error);
  return new ApiError(`the result ${name} cannot be read: ${why}`, 0, "", "everything else of the run is shown");
}
