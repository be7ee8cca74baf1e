// Which key does what, as the study's file says, and how it is written on a button.

const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Keys {
  constructor(keys, names) {
    this.keys = keys;
    this.names = names; // of keys that have a word on them, in the page's language
    this.actions = new Map(Object.entries(keys).map(([action, key]) => [key, action]));
  }

  // The action of a pressed key, or undefined.
  action(event) {
    return this.actions.get(keyName(event));
  }

  cap(action) {
    const key = this.keys[action];
    const face = ARROWS[key] ?? this.names[key] ?? key.toUpperCase();
    return { face, shortcut: key.length === 1 ? key.toUpperCase() : key };
  }

  // The faces of keys that the instructions tell of, by what they do.
  told(reasons) {
    const faces = (...actions) => actions.map((action) => this.cap(action).face);
    const tools = ["undo", "zoom", "flip", ...(reasons ? ["reason"] : [])];
    return {
      choose: faces("left", "right"),
      ...Object.fromEntries(tools.map((tool) => [tool, faces(tool)])),
    };
  }
}

// Shift with an arrow never votes: it moves what is magnified, by this step, else undefined.
function panStep(event) {
  return event.shiftKey ? STEPS[event.key] : undefined;
}

function keyName({ key }) {
  if (key === " ") return "Space";
  return key.length === 1 ? key.toLowerCase() : key;
}
