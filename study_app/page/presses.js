// What is pressed anywhere on the page, keys and buttons, heard before Streamlit hears it: it has
// keys of its own, and while the server is away its dialog (hidden by app.py) swallows clicks.

class Presses {
  constructor(session) {
    this.session = session;
    this.root = session.root;
    const options = { signal: session.closing.signal, capture: true };
    window.addEventListener("keydown", (event) => this.key(event), options);
    for (const type of ["keyup", "keypress"]) {
      window.addEventListener(type, (event) => event.stopPropagation(), options);
    }
    window.addEventListener("click", (event) => this.click(event), options);
    this.stayUsable(session.closing.signal);
  }

  // Streamlit's dialog also makes the whole page inert.
  stayUsable(signal) {
    const app = document.getElementById("root");
    if (!app) return;
    const observer = new MutationObserver(() => (app.inert = false));
    observer.observe(app, { attributeFilter: ["inert"] });
    signal.addEventListener("abort", () => observer.disconnect());
  }

  click(event) {
    const button = event.composedPath().find((node) => node.press);
    if (button && !isOff(button)) button.press(event);
  }

  key(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (this.session.withdrawal.asking) return;
    if (event.composedPath()[0] instanceof HTMLInputElement) return this.typed(event);
    const { screen } = this.root.dataset;
    if (event.repeat && !panStep(event)) return this.heldDown(event);
    if (event.key === "Enter") return this.enter(event);
    const used = screen === "trial" ? this.session.trial.key(event) : this.onCard(event);
    if (used) event.preventDefault();
  }

  // In the reason box nothing votes; Enter and Escape lead back.
  typed(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    this.root.querySelector(".question").focus();
  }

  heldDown(event) {
    if (event.key === "Enter" || this.session.keys?.action(event)) event.preventDefault();
  }

  // Enter presses the one button of a screen, wherever the focus is, unless it is on another.
  enter(event) {
    const { screen, feedback } = this.root.dataset;
    const focused = this.root.getRootNode().activeElement;
    if (focused?.matches("button, a")) return;
    const only = { card: ".presses .primary", trial: feedback ? ".feedback button" : null }[screen];
    if (!only) return;
    event.preventDefault();
    this.root.querySelector(only).click();
  }

  onCard(event) {
    const aside = this.root.querySelector(".card .aside");
    if (this.session.keys?.action(event) !== "undo" || isOff(aside)) return false;
    aside.press();
    return true;
  }
}
