// The window in which the images are seen: is it wide enough, and what would be better.

const SPACE_BESIDE_IMAGES = 72; // CSS pixels: the gap and both margins, as in trial.css
const SPACE_ABOVE_AND_BELOW = 208; // CSS pixels, as in trial.css

class Viewing {
  constructor(size) {
    this.size = size; // side of an image in CSS pixels
  }

  get needed() {
    return 2 * this.size + SPACE_BESIDE_IMAGES;
  }

  get narrow() {
    return window.innerWidth < this.needed;
  }

  checks() {
    const [width, height] = [window.innerWidth, window.innerHeight];
    const ratio = window.devicePixelRatio;
    const values = { width, height, needed: this.needed, ratio: Math.round(100 * ratio) };
    return [
      { name: "width", good: !this.narrow, values },
      { name: "height", good: height >= this.size + SPACE_ABOVE_AND_BELOW, values },
      { name: "sharp", good: Number.isInteger(ratio), values },
    ];
  }
}

// What is recorded of the window: CSS pixels, whole numbers of at least 1.
function windowSize() {
  return {
    viewport_width: Math.max(1, Math.round(window.innerWidth)),
    viewport_height: Math.max(1, Math.round(window.innerHeight)),
    pixel_ratio: window.devicePixelRatio,
  };
}

function screenSize() {
  return {
    screen_width: Math.max(1, Math.round(window.screen.width)),
    screen_height: Math.max(1, Math.round(window.screen.height)),
  };
}
