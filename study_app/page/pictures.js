// Both images of each trial that the page holds: fetched and decoded ahead, one trial after another
// so that votes never wait behind them.

const SIDES = ["left", "right"];

class Pictures {
  // `ready` hears of each trial whose images have come, `failed` of each try that did not succeed.
  constructor(server, { ready, failed }) {
    Object.assign(this, { server, ready, failed });
    this.pairs = new Map(); // trial_id -> {images: [left, right] or null, leaving}
    this.wanted = [];
    this.fetching = false;
  }

  // Hold the images of these trials, the first first, and let go of all others.
  hold(trial_ids) {
    this.wanted = trial_ids;
    for (const [trial_id, pair] of this.pairs) {
      if (trial_ids.includes(trial_id)) continue;
      pair.leaving.abort();
      this.pairs.delete(trial_id);
    }
    for (const trial_id of trial_ids) {
      if (!this.pairs.has(trial_id)) {
        this.pairs.set(trial_id, { images: null, leaving: new AbortController() });
      }
    }
    this.fetchAll();
  }

  of(trial_id) {
    return this.pairs.get(trial_id)?.images ?? null;
  }

  async fetchAll() {
    if (this.fetching) return;
    this.fetching = true;
    let trial_id;
    while ((trial_id = this.wanted.find((id) => !this.of(id)))) {
      const pair = this.pairs.get(trial_id);
      const images = await this.fetchPair(trial_id, pair.leaving.signal);
      if (this.server.signal.aborted) return;
      if (!images) continue; // let go of meanwhile
      pair.images = images;
      this.ready(trial_id);
    }
    this.fetching = false;
  }

  async fetchPair(trial_id, signal) {
    const images = await Promise.all(SIDES.map((side) => this.fetchSide(trial_id, side, signal)));
    return images.every(Boolean) ? images : null;
  }

  async fetchSide(trial_id, side, signal) {
    const path = `image/${encodeURIComponent(trial_id)}/${side}`;
    for (let attempt = 0; !signal.aborted && !this.server.signal.aborted; attempt += 1) {
      const { image, status } = await this.server.image(path, signal);
      if (image) return image;
      if (signal.aborted) return null;
      this.failed(trial_id, status);
      await this.server.pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
    }
    return null;
  }
}

// An image of the instructions; null where it cannot be had after a few tries.
async function exampleImage(server, path) {
  for (const wait of RETRY_MS) {
    const { image } = await server.image(path, server.signal);
    if (image || server.signal.aborted) return image;
    await server.pause(wait);
  }
  return null;
}
