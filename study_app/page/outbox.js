// What this browser keeps over a reload; without storage it is kept in the open page only.

const unstored = new Map();

function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? unstored.get(name) ?? null;
  } catch {
    return unstored.get(name) ?? null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    unstored.delete(name);
  } catch {
    unstored.set(name, value); // no storage in this browser, or none left
  }
}

function outboxName(name) {
  return `evalkit-outbox-${name}`;
}

// Votes that the server has not acknowledged, oldest first. Each change is made to what is stored,
// since another tab of the same annotator may have changed it.
class Outbox {
  constructor(name) {
    this.name = outboxName(name);
  }

  isNamed(name) {
    return this.name === outboxName(name);
  }

  get votes() {
    return recall(this.name) ?? [];
  }

  put(vote) {
    keep(this.name, [...this.votes, vote]);
  }

  remove({ trial_id, revision }) {
    const others = (vote) => vote.trial_id !== trial_id || vote.revision !== revision;
    keep(this.name, this.votes.filter(others));
  }

  holds(trial_id) {
    return this.votes.some((vote) => vote.trial_id === trial_id);
  }

  clear() {
    keep(this.name, []);
  }
}
