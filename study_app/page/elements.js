// What the screens are made of. Words are set as text, never as HTML.

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

// A text with {words in braces} put in their place.
function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (braces, name) => values[name] ?? braces);
}

// A button's face: the cap of its key and its label. The key is told apart, in aria-keyshortcuts.
function setFace(button, label, cap, { capLast = false } = {}) {
  const parts = [element("span", label)];
  if (cap) {
    const face = element("kbd", cap.face, { "aria-hidden": "true" });
    parts[capLast ? "push" : "unshift"](face);
    button.setAttribute("aria-keyshortcuts", cap.shortcut);
  }
  button.replaceChildren(...parts);
  return button;
}

function isOff(button) {
  return button.hidden || button.ariaDisabled === "true";
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}
