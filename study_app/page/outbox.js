// What this browser keeps over a reload; what its storage does not take stays in the open page.

const OWNER = "evalkit-outbox"; // whose votes this browser kept last

const unstored = new Map(); // by name: it stands for, or follows, what is stored under that name

function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // no storage in this browser
  }
}

// Whether there was room for it.
function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

function recall(name) {
  return unstored.has(name) ? unstored.get(name) : stored(name);
}

function keep(name, value) {
  if (store(name, value)) unstored.delete(name);
  else unstored.set(name, value);
}

function outboxName(name) {
  return `evalkit-outbox-${name}`;
}

// Votes that the server has not acknowledged, oldest first. Each change is made to what is stored,
// since another tab of the same annotator may have changed it.
class Outbox {
  constructor(owner) {
    this.owner = owner;
    this.name = outboxName(owner);
  }

  isNamed(name) {
    return this.name === outboxName(name);
  }

  get votes() {
    return [...(stored(this.name) ?? []), ...(unstored.get(this.name) ?? [])];
  }

  put(vote) {
    keep(OWNER, this.owner);
    this.hold([...this.votes, vote]);
  }

  remove({ trial_id, revision }) {
    const others = (vote) => vote.trial_id !== trial_id || vote.revision !== revision;
    this.hold(this.votes.filter(others));
  }

  holds(trial_id) {
    return this.votes.some((vote) => vote.trial_id === trial_id);
  }

  clear() {
    this.hold([]);
  }

  // As many of the oldest are stored as there is room for; the others stay in the open page.
  hold(votes) {
    let room = votes.length;
    while (room && !store(this.name, votes.slice(0, room))) room -= 1;
    if (!room && !store(this.name, [])) forget(this.name);
    unstored.set(this.name, votes.slice(room));
  }
}

function forget(name) {
  try {
    localStorage.removeItem(name);
  } catch {
    // no storage in this browser: nothing is kept there
  }
}

// Sends what a page that was closed has left, before the server is asked for trials: it may lend
// theirs to somebody else. What it does not take waits for the session, which says why.
async function sendLeft(server) {
  const outbox = new Outbox(recall(OWNER));
  let vote;
  while ((vote = outbox.votes[0])) {
    const answer = await server.post("vote", vote);
    if (answer?.status !== 200) return;
    outbox.remove(vote);
  }
}
