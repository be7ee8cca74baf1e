// Looking closer: the same cut of both images magnified, or both in one place, one after the other.

const LEVELS = [1, 2, 3];
const PAN_STEP = 12; // per cent of the image's side

class Lens {
  // `images` holds two frames; `changed` hears of each change.
  constructor(images, { changed, signal }) {
    this.images = images;
    this.changed = changed;
    images.addEventListener("pointermove", (event) => this.follow(event), { signal });
    this.reset();
  }

  reset() {
    this.level = 1;
    this.side = null; // in one place: which side is shown
    this.place = [50, 50]; // per cent
    this.draw();
  }

  zoom() {
    this.level = LEVELS[(LEVELS.indexOf(this.level) + 1) % LEVELS.length];
    this.draw();
  }

  flip() {
    this.side = this.side === "left" ? "right" : "left";
    this.draw();
  }

  besides() {
    this.side = null;
    this.draw();
  }

  follow(event) {
    const frame = event.target.closest(".frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    this.look([
      (100 * (event.clientX - box.left)) / box.width,
      (100 * (event.clientY - box.top)) / box.height,
    ]);
  }

  pan([right, down]) {
    this.look([this.place[0] + PAN_STEP * right, this.place[1] + PAN_STEP * down]);
  }

  look(place) {
    this.place = place.map((share) => Math.min(100, Math.max(0, share)));
    this.images.style.setProperty("--look", this.place.map((share) => `${share}%`).join(" "));
  }

  draw() {
    this.look(this.place);
    this.images.style.setProperty("--zoom", this.level);
    this.images.dataset.flip = this.side ?? "";
    this.changed?.();
  }
}
