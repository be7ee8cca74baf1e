// The card: one heading, a few words and one button; every screen but the trial.

class Card {
  constructor(root) {
    this.root = root;
  }

  $(selector) {
    return this.root.querySelector(selector);
  }

  // `nodes` stand below the heading; `button` is the label of the one button, which calls
  // `proceed` once; `aside` is a quieter button, {label, cap, press}.
  show({ heading, nodes = [], button, aside, wide = false }, proceed) {
    const anew = this.heading !== heading || this.root.dataset.screen !== "card";
    this.heading = heading;
    this.root.dataset.screen = "card";
    this.$(".card").classList.toggle("wide", wide);
    this.$(".card h1").textContent = heading;
    this.$(".card .text").replaceChildren(...nodes);
    const primary = this.$(".presses .primary");
    primary.hidden = !button;
    primary.textContent = button ?? "";
    this.busy(false);
    primary.press = () => {
      this.busy(true); // one press is enough
      proceed();
    };
    const other = this.$(".card .aside");
    other.hidden = !aside;
    if (aside) setFace(other, aside.label, aside.cap).press = aside.press;
    if (!anew) return;
    this.$(".stage").scrollTop = 0;
    this.$(".card h1").focus();
  }

  busy(busy) {
    this.$(".presses .primary").ariaDisabled = String(busy);
  }
}

function paragraph(text, name = "") {
  return element("p", text, name ? { class: name } : {});
}
