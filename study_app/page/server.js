// The server as the page meets it: requests with the token, sent again until they are answered.

const RETRY_MS = [500, 1000, 2000, 4000];
const TOO_EARLY = 425;

class Server {
  // `say` tells the annotator what is the matter; `signal` aborts when the page closes.
  constructor({ token, texts, say, signal }) {
    Object.assign(this, { token, texts, say, signal });
  }

  // The answer with its status; null when the page closes before there is one.
  async post(path, body) {
    const content = JSON.stringify(body);
    const slow = setTimeout(() => this.say(this.texts.loading), 700);
    try {
      for (let attempt = 0; !this.signal.aborted; attempt += 1) {
        const response = await this.fetch(path, { method: "POST", body: content });
        const answer = await response?.json().catch(() => null);
        const final = response && response.status < 500 && response.status !== TOO_EARLY;
        if (final && answer) return { ...answer, status: response.status };
        if (response?.status !== TOO_EARLY) this.say(this.texts.offline);
        await this.pauseAfter(attempt);
      }
      return null;
    } finally {
      clearTimeout(slow);
    }
  }

  // One side of a trial, decoded; null when the page closes.
  async image(trial_id, side) {
    for (let attempt = 0; !this.signal.aborted; attempt += 1) {
      const response = await this.fetch(`image/${encodeURIComponent(trial_id)}/${side}`);
      const content = response?.ok ? await response.blob().catch(() => null) : null;
      if (content) {
        const image = new Image();
        image.draggable = false;
        image.src = URL.createObjectURL(content);
        const decoded = await image.decode().then(() => true, () => false);
        if (decoded) return image;
        URL.revokeObjectURL(image.src);
      }
      this.say(this.texts.image_slow);
      await this.pauseAfter(attempt);
    }
    return null;
  }

  fetch(path, options = {}) {
    const headers = { Authorization: `Bearer ${this.token}` };
    const { signal } = this;
    return fetch(path, { ...options, headers, signal, cache: "no-store" }).catch(() => null);
  }

  pauseAfter(attempt) {
    return this.pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
  }

  // Waits; shorter when the network comes back, at once when the page closes.
  pause(milliseconds) {
    const { signal } = this;
    return new Promise((resolve) => {
      setTimeout(resolve, signal.aborted ? 0 : milliseconds);
      window.addEventListener("online", resolve, { once: true, signal });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
}
