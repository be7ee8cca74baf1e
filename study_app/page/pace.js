// How fast this annotator answers, for the time that is left, and when a break is due.

const LAST_ANSWERS = 20;
const ENOUGH_ANSWERS = 8; // before that nothing is said
const MINUTE_MS = 60_000;

class Pace {
  constructor(breakMinutes) {
    this.breakMs = breakMinutes * MINUTE_MS;
    this.times = [];
    this.since = null; // when the pair on the screen came, or null at rest
    this.working = null; // since when there was no rest
  }

  begin(now) {
    this.since ??= now;
    this.working ??= now;
  }

  answer(now) {
    this.times = [...this.times, now - this.since].slice(-LAST_ANSWERS);
    this.since = now;
  }

  rest() {
    this.since = null;
    this.working = null;
  }

  breakDue(now) {
    return this.breakMs > 0 && this.working !== null && now - this.working >= this.breakMs;
  }

  minutes(now) {
    return Math.round((now - this.working) / MINUTE_MS);
  }

  // Milliseconds for `n` more answers at the median pace of the last ones; null before that is known.
  left(n) {
    if (this.times.length < ENOUGH_ANSWERS) return null;
    const sorted = [...this.times].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
    return n * median;
  }
}

// "about 6 minutes left": to one minute, above ten to five.
function timeLeft(milliseconds, texts) {
  if (milliseconds === null) return "";
  const exact = milliseconds / MINUTE_MS;
  if (exact < 1) return texts.seconds;
  const minutes = exact < 10 ? Math.round(exact) : 5 * Math.round(exact / 5);
  return minutes === 1 ? texts.minute : filled(texts.minutes, { minutes });
}
