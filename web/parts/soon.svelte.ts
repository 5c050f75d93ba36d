/** What is there at once or comes later, as reactive state: to be made while a component is. */

export interface Arriving<T> {
  /** What was asked for last and has come; the one before while the next is on its way. */
  readonly latest: T | null;
  /** What is asked for now; null while it is on its way, or nothing is asked for. */
  readonly value: T | null;
  /** Why it does not come. */
  readonly failure: string;
}

export function arriving<T>(ask: () => T | Promise<T> | null): Arriving<T> {
  const asked = $derived(ask());
  let come = $state.raw<{ readonly of: Promise<T>; readonly value: T } | null>(null);
  let failed = $state.raw<{ readonly of: Promise<T>; readonly why: string } | null>(null);
  $effect(() => {
    const of = asked;
    if (!(of instanceof Promise)) return;
    let left = false;
    of.then(
      (value) => {
        if (!left) come = { of, value };
      },
      (error: unknown) => {
        if (!left) failed = { of, why: error instanceof Error ? error.message : String(error) };
      },
    );
    return () => {
      left = true;
    };
  });
  return {
    get latest() {
      return asked instanceof Promise ? (come?.value ?? null) : asked;
    },
    get value() {
      return asked instanceof Promise ? (come?.of === asked ? come.value : null) : asked;
    },
    get failure() {
      return failed && failed.of === asked ? failed.why : "";
    },
  };
}
