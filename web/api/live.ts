/**
 * The one live connection. It says what it wants to hear of, merges what comes, and when the server goes away it tries
 * again, longer and longer apart, and goes on from the row at which it stopped.
 */

import { decodeSegment, emptyFrame, type Frame } from "./frames";
import type { Merge } from "./table_store";
import { TableStore } from "./table_store";
import type { ErrorDetail, LiveMessage, RunDetail, RunSummary, TableName, WatchMessage } from "./types";

export interface TableWish {
  /** About how many rows a series may have. */
  readonly points?: number;
  readonly layer?: string;
  readonly kind?: string;
}

/** All that the page wants to hear of; a new one replaces the old. */
export interface Subscription {
  readonly runs: boolean;
  readonly run: string | null;
  readonly tables: Readonly<Partial<Record<TableName, TableWish>>>;
}

export type LiveStatus = "connecting" | "live" | "reconnecting" | "refused" | "closed";

/** The part of a WebSocket that is used; tests give their own. */
export interface Socket {
  binaryType: BinaryType;
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface LiveOptions {
  readonly open: () => Socket;
  /** Called after every change, with what changed. */
  readonly onchange: (change: "status" | "runs" | "run" | "error" | TableName) => void;
  /** Asked after a connection could not be made: does the server answer but turn us away? */
  readonly isRefused?: () => Promise<boolean>;
  /** 0–1, spreads the attempts of many pages. */
  readonly random?: () => number;
}

interface Watched {
  readonly wish: TableWish;
  store: TableStore;
}

const POINTS = 2000;
const GROWN = 4; // times as many rows as the first answer had, or as were asked for: ask anew, thinned
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5000;

export class LiveConnection {
  status: LiveStatus = "connecting";
  runs: readonly RunSummary[] | null = null;
  run: RunDetail | null = null;
  error: ErrorDetail | null = null;
  readonly #options: LiveOptions;
  readonly #tables = new Map<TableName, Watched>();
  #subscription: Subscription = { runs: false, run: null, tables: {} };
  #socket: Socket | null = null;
  #isOpen = false;
  #attempts = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Ask for something else. Tables wished for as before are kept and gone on with. */
  watch(subscription: Subscription): void {
    if (subscription.run !== this.#subscription.run) {
      this.#tables.clear();
      this.run = null;
      this.error = null;
    }
    this.#subscription = subscription;
    for (const name of [...this.#tables.keys()]) if (!subscription.tables[name]) this.#tables.delete(name);
    for (const [name, wish] of Object.entries(subscription.tables) as [TableName, TableWish][]) {
      const known = this.#tables.get(name);
      if (!known || !sameWish(known.wish, wish)) this.#tables.set(name, { wish, store: new TableStore(name) });
    }
    this.#send();
  }

  /** A table as far as it has come; without rows if it is not watched. */
  frame(table: TableName): Frame {
    return this.#tables.get(table)?.store.frame ?? emptyFrame(table);
  }

  /** Try at once instead of waiting: the page came back to the foreground, say. */
  retryNow(): void {
    if (this.#socket || this.status === "closed") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#setStatus("closed");
    this.#socket?.close();
    this.#socket = null;
  }

  #connect(): void {
    const socket = this.#options.open();
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#isOpen = false;
    socket.onopen = () => {
      this.#isOpen = true;
      this.#attempts = 0;
      this.#setStatus("live");
      this.#send();
    };
    socket.onmessage = (event) => this.#receive(event.data as unknown);
    socket.onclose = () => this.#lost(socket);
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket) return;
    const neverOpened = !this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    if (this.status === "closed") return;
    if (this.status !== "refused") this.#setStatus("reconnecting");
    if (neverOpened) void this.#askWhetherRefused();
    const spread = 0.75 + 0.5 * (this.#options.random ?? Math.random)();
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 1.8 ** this.#attempts) * spread;
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  async #askWhetherRefused(): Promise<void> {
    const refused = (await this.#options.isRefused?.()) ?? false;
    if (!this.#isOpen && this.status !== "closed") this.#setStatus(refused ? "refused" : "reconnecting");
  }

  #setStatus(status: LiveStatus): void {
    if (status === this.status) return;
    this.status = status;
    this.#options.onchange("status");
  }

  #send(): void {
    if (!this.#isOpen) return;
    const tables: WatchMessage["tables"] = {};
    for (const [name, { wish, store }] of this.#tables) {
      tables[name] = {
        after: store.nextRow,
        points: wish.points ?? POINTS,
        layer: wish.layer ?? null,
        kind: wish.kind ?? null,
      };
    }
    const { runs, run } = this.#subscription;
    const message: WatchMessage = { type: "watch", runs, run, resumes: this.run?.resumes ?? null, tables };
    this.#socket?.send(JSON.stringify(message));
  }

  #receive(data: unknown): void {
    if (data instanceof ArrayBuffer) this.#receiveRows(data);
    else if (typeof data === "string") this.#receiveMessage(JSON.parse(data) as LiveMessage);
  }

  #receiveMessage(message: LiveMessage): void {
    if (message.type === "runs") {
      this.runs = message.runs;
      this.#options.onchange("runs");
    } else if (message.type === "run") {
      if (message.run.id !== this.#subscription.run) return;
      this.run = message.run;
      this.error = null;
      this.#options.onchange("run");
    } else {
      this.error = message.error;
      this.#options.onchange("error");
    }
  }

  #receiveRows(buffer: ArrayBuffer): void {
    const segment = decodeSegment(buffer);
    const table = segment.table as TableName;
    const watched = this.#tables.get(table);
    if (!watched || segment.run !== this.#subscription.run) return;
    const outcome: Merge = watched.store.merge(segment);
    const most = GROWN * Math.max(watched.store.rowsAtFirst, watched.wish.points ?? POINTS);
    if (outcome === "gap" || (outcome === "appended" && watched.store.rows > most)) this.#askAnew(table, watched);
    if (outcome === "appended" || outcome === "replaced") this.#options.onchange(table);
  }

  /** Start a table over; what is shown stays until the answer replaces it. */
  #askAnew(table: TableName, { wish, store }: Watched): void {
    const fresh = new TableStore(table);
    fresh.frame = store.frame;
    this.#tables.set(table, { wish, store: fresh });
    this.#send();
  }
}

function sameWish(a: TableWish, b: TableWish): boolean {
  return a.points === b.points && a.layer === b.layer && a.kind === b.kind;
}

/** The address of the live connection of the server that this page came from. */
export function liveAddress(location: Location): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`;
}
