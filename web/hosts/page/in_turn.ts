/** At most so many requests at a time; the others wait their turn. */

const AT_ONCE = 3;
const waiting: (() => void)[] = [];
let active = 0;

/** Run `task` when its turn comes. */
export async function inTurn<T>(task: () => Promise<T>): Promise<T> {
  if (active >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  active += 1;
  try {
    return await task();
  } finally {
    active -= 1;
    waiting.shift()?.();
  }
}
