/** Time through the walk: a stop takes a while, then comes the next; those who draw are told of every frame. */

/** Milliseconds that a stop takes at normal speed, and that a step by hand takes. */
export const STOP_TIME = 1100;
export const STEP_TIME = 420;

/** Where the walk is: `share` of the stop `position` has happened. */
export interface Moment {
  readonly position: number;
  readonly share: number;
}

/** The moment `elapsed` milliseconds later; at the end of the last stop it stays. */
export function advance(moment: Moment, elapsed: number, speed: number, stops: number): Moment {
  const reached = moment.position + moment.share + (Math.max(0, elapsed) * speed) / STOP_TIME;
  if (reached >= stops) return { position: Math.max(0, stops - 1), share: 1 };
  const position = Math.floor(reached);
  return { position, share: reached - position };
}

export function ease(share: number): number {
  const held = Math.min(1, Math.max(0, share));
  return held * held * (3 - 2 * held);
}

type Painter = (moment: Moment) => void;

/** One loop of animation frames for all canvases of the view; it runs only while something moves. */
export class Clock {
  #painters = new Set<Painter>();
  #frame = 0;
  #before = 0;
  moment: Moment = { position: 0, share: 1 };
  playing = false;
  speed = 1;
  stops = 1;
  /** No movement within a stop, for those who asked their system for none. */
  still = false;
  /** Told when playing reaches another stop, and when it ends. */
  onmove: (position: number) => void = () => {};
  onend: () => void = () => {};

  paint(painter: Painter): () => void {
    this.#painters.add(painter);
    painter(this.#shown());
    return () => this.#painters.delete(painter);
  }

  play(): void {
    if (this.moment.position >= this.stops - 1 && this.moment.share >= 1) this.moment = { position: 0, share: 0 };
    this.playing = true;
    this.#start();
  }

  pause(): void {
    this.playing = false;
  }

  /** Be at a stop, either at once or so that one sees it happen. */
  go(position: number, animate: boolean): void {
    this.moment = { position, share: animate ? 0 : 1 };
    if (animate) this.#start();
    else this.#tell();
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#painters.clear();
  }

  #start(): void {
    if (this.#frame) return;
    this.#before = performance.now();
    this.#frame = requestAnimationFrame(this.#tick);
  }

  #tick = (now: number): void => {
    const elapsed = Math.min(100, now - this.#before); // a tab that slept does not leap
    this.#before = now;
    const { position, share } = this.moment;
    if (this.playing) {
      this.moment = advance(this.moment, elapsed, this.speed, this.stops);
      if (this.moment.position !== position) this.onmove(this.moment.position);
      if (this.moment.position === this.stops - 1 && this.moment.share >= 1) {
        this.playing = false;
        this.onend();
      }
    } else this.moment = { position, share: Math.min(1, share + Math.max(0, elapsed) / STEP_TIME) };
    this.#tell();
    const moves = this.playing || this.moment.share < 1;
    this.#frame = moves ? requestAnimationFrame(this.#tick) : 0;
  };

  #tell(): void {
    const shown = this.#shown();
    for (const painter of this.#painters) painter(shown);
  }

  #shown(): Moment {
    return this.still ? { position: this.moment.position, share: 1 } : this.moment;
  }
}
