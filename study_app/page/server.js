// The server as the page meets it: requests, sent again until they are answered.

const RETRY_MS = [500, 1000, 2000, 4000];
const LONGEST_WAIT_S = 60;
const TOO_EARLY = 425;
const TOO_FAST = 429;

class Server {
  // `trouble` hears "offline", "too_fast" or null (all is well again); `signal` aborts when the
  // page closes.
  constructor({ trouble, signal }) {
    this.trouble = trouble;
    this.signal = signal;
    this.away = false;
  }

  // The answer with its status; null when the page closes before there is one.
  async post(path, body = {}) {
    for (let attempt = 0; !this.signal.aborted; attempt += 1) {
      const response = await this.send(path, body);
      const answer = await response?.json().catch(() => null);
      if (answer && isFinal(response.status)) {
        this.tell(null);
        return { ...answer, status: response.status };
      }
      if (response?.status === TOO_FAST) this.tell("too_fast");
      else if (response?.status !== TOO_EARLY) this.tell("offline");
      await this.pause(waitOf(response, attempt));
    }
    return null;
  }

  // Sent once; what becomes of it matters to nobody who votes.
  note(body) {
    this.send("note", body);
  }

  send(path, body) {
    return this.fetch(`study/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Evalkit": "1" },
      body: JSON.stringify(body),
    });
  }

  // A decoded image; null where it cannot be had now. `status` is the answer's, 0 without one.
  async image(path, signal) {
    const response = await this.fetch(`study/${path}`, { signal });
    const content = response?.ok ? await response.blob().catch(() => null) : null;
    if (!content) return { image: null, status: response?.status ?? 0 };
    const image = new Image();
    image.draggable = false;
    image.src = URL.createObjectURL(content);
    const decoded = await image.decode().then(() => true, () => false);
    URL.revokeObjectURL(image.src); // what is decoded no longer needs its address
    return { image: decoded ? image : null, status: response.status };
  }

  fetch(path, options = {}) {
    const { signal } = this;
    return fetch(path, { signal, cache: "no-store", ...options }).catch(() => null);
  }

  tell(trouble) {
    this.away = trouble === "offline";
    this.trouble(trouble);
  }

  // Waits; shorter when the network comes back, at once when the page closes.
  async pause(milliseconds) {
    const over = new AbortController();
    const { signal } = over;
    await new Promise((resolve) => {
      setTimeout(resolve, this.signal.aborted ? 0 : milliseconds);
      window.addEventListener("online", resolve, { signal });
      this.signal.addEventListener("abort", resolve, { signal });
    });
    over.abort();
  }
}

function isFinal(status) {
  return status < 500 && status !== TOO_EARLY && status !== TOO_FAST;
}

function waitOf(response, attempt) {
  const asked = Number(response?.headers.get("Retry-After"));
  if (asked > 0) return 1000 * Math.min(asked, LONGEST_WAIT_S);
  return RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
}
