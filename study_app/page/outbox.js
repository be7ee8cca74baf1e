// What this browser keeps over a reload; without storage it is kept in the open page only.

function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // no storage in this browser, or none left
  }
}

// Votes that the server has not acknowledged.
class Outbox {
  constructor(name) {
    this.name = `evalkit-outbox-${name}`;
    this.votes = recall(this.name) ?? [];
  }

  put(vote) {
    this.votes.push(vote);
    keep(this.name, this.votes);
  }

  remove(vote) {
    this.votes = this.votes.filter((other) => other.trial_id !== vote.trial_id);
    keep(this.name, this.votes);
  }
}
