/** The time, a few times a minute, for ages ("5 min ago"). */

class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = Date.now()), 10_000);
  }
}

export const clock = new Clock();
