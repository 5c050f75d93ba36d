/** The live connection as reactive state. */

import { isRefused } from "../../api/client";
import { emptyFrame, type Frame } from "../../api/frames";
import { LiveConnection, liveAddress, type LiveStatus, type Subscription } from "../../api/live";
import type { ErrorDetail, RunDetail, RunSummary, TableName } from "../../api/types";

class LiveState {
  status: LiveStatus = $state("connecting");
  runs: readonly RunSummary[] | null = $state.raw(null);
  run: RunDetail | null = $state.raw(null);
  error: ErrorDetail | null = $state.raw(null);
  #frames: Partial<Record<TableName, Frame>> = $state.raw({});
  #connection: LiveConnection | null = null;

  start(): void {
    const connection: LiveConnection = new LiveConnection({
      open: () => new WebSocket(liveAddress(location)),
      isRefused,
      onchange: (change) => this.#take(connection, change),
    });
    this.#connection = connection;
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") connection.retryNow();
    });
    window.addEventListener("online", () => connection.retryNow());
  }

  /** Ask for something else; what no longer belongs to it disappears at once. */
  watch(subscription: Subscription): void {
    const connection = this.#connection;
    if (!connection) return;
    connection.watch(subscription);
    this.run = connection.run;
    this.error = connection.error;
    const names = Object.keys(subscription.tables) as TableName[];
    this.#frames = Object.fromEntries(names.map((name) => [name, connection.frame(name)]));
  }

  frame(table: TableName): Frame {
    return this.#frames[table] ?? emptyFrame(table);
  }

  retry(): void {
    this.#connection?.retryNow();
  }

  #take(connection: LiveConnection, change: "status" | "runs" | "run" | "error" | TableName): void {
    if (change === "status") this.status = connection.status;
    else if (change === "runs") this.runs = connection.runs;
    else if (change === "run" || change === "error") {
      this.run = connection.run;
      this.error = connection.error;
    } else this.#frames = { ...this.#frames, [change]: connection.frame(change) };
  }
}

export const live = new LiveState();
