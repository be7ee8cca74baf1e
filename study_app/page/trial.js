// The trial screen: the question, both images, the choices and the tools; one press is one vote.

const ORDER = ["left", "tie", "both_bad", "right"]; // as on the screen
const LONG_PROMPT = 130; // characters
const LONGEST_PROMPT = 260; // characters: with more lines than fit at the usual sizes
const LONGEST_REASON = 500; // characters
const LONGEST_MS = 86_400_000; // a day: more says nothing

class TrialScreen {
  // `voted` hears (choice, reason, response_ms), `undone` that the last answer is to be seen again.
  constructor(root, { texts, keys, settings, server, voted, undone }) {
    Object.assign(this, { root, texts, keys, settings, server, voted, undone });
    this.shown = null; // {trial, images, earlier: the answer that is corrected, or null}
    this.votable = false;
    const changed = () => this.drawTools();
    this.lens = new Lens(this.$(".images"), { changed, signal: server.signal });
    this.dress();
  }

  $(selector) {
    return this.root.querySelector(selector);
  }

  // What never changes: names of regions, faces of the tools, who hears what.
  dress() {
    const { trial } = this.texts;
    this.$(".prompt").setAttribute("aria-label", trial.prompt_label);
    this.$(".choices").setAttribute("aria-label", trial.choices);
    this.$(".tools").setAttribute("aria-label", trial.tools);
    for (const side of SIDES) this.$(`.side.${side}`).textContent = trial[`${side}_image`];
    const besides = this.$(".besides");
    setFace(besides, trial.besides, { face: "Esc", shortcut: "Escape" });
    const presses = {
      ".undo": this.undone,
      ".zoom": () => this.lens.zoom(),
      ".flip": () => this.flip(),
      ".besides": () => this.lens.besides(),
    };
    for (const [selector, press] of Object.entries(presses)) {
      this.$(selector).press = press;
    }
    this.dressReason();
  }

  dressReason() {
    const reason = this.$(".reason");
    reason.hidden = !this.settings.reasons;
    const cap = this.keys.cap("reason");
    const label = this.$(".reason label");
    label.replaceChildren(element("kbd", cap.face, { "aria-hidden": "true" }));
    label.append(element("span", this.texts.trial.reason));
    this.reason.maxLength = LONGEST_REASON;
    this.reason.placeholder = this.texts.trial.reason_hint;
    this.reason.setAttribute("aria-keyshortcuts", cap.shortcut);
  }

  get reason() {
    return this.$(".reason input");
  }

  // ---- showing

  // `canUndo`: is there an answer that can be seen again.
  show(shown, canUndo) {
    const { trial, images, earlier } = shown;
    const first = this.shown?.trial.trial_id !== trial.trial_id;
    this.shown = shown;
    this.votable = false;
    this.canUndo = canUndo;
    this.root.dataset.feedback = "";
    this.drawAsked(trial);
    this.root.querySelectorAll(".frame").forEach((frame, side) => {
      images[side].alt = this.texts.trial[`${SIDES[side]}_image`];
      frame.replaceChildren(images[side]);
    });
    this.drawChoices(trial, earlier?.choice);
    if (first) {
      this.lens.reset();
      this.reason.value = earlier?.reason ?? "";
    }
    this.drawTools();
    if (this.root.dataset.screen !== "trial") {
      this.root.dataset.screen = "trial";
      this.$(".question").focus();
    }
    this.open(shown);
  }

  drawAsked({ question, prompt }) {
    this.$(".question").textContent = question;
    const asked = this.$(".asked");
    const description = this.$(".prompt");
    description.hidden = prompt === undefined;
    description.textContent = prompt ?? "";
    const length = prompt?.length ?? 0;
    asked.classList.toggle("long", length > LONG_PROMPT);
    asked.classList.toggle("longest", length > LONGEST_PROMPT);
    asked.scrollTop = 0;
    asked.removeAttribute("tabindex");
    if (asked.scrollHeight > asked.clientHeight) asked.tabIndex = 0; // to be scrolled by keys
  }

  drawChoices(trial, earlier) {
    const group = this.$(".choices");
    const offered = ORDER.filter((choice) => trial.choices.includes(choice));
    if (group.dataset.offered !== offered.join()) {
      group.dataset.offered = offered.join();
      group.replaceChildren(...offered.map((choice) => this.choiceButton(choice)));
    }
    for (const button of group.children) {
      button.classList.remove("pressed");
      if (earlier) button.ariaPressed = String(button.dataset.choice === earlier);
      else button.removeAttribute("aria-pressed");
    }
    this.allow(false);
  }

  choiceButton(choice) {
    const button = element("button", "", { type: "button", "data-choice": choice });
    setFace(button, this.texts.trial[choice], this.keys.cap(choice), {
      capLast: choice === "right",
    });
    // The second click of a double click would be about a pair that nobody has seen.
    button.press = (event) => event.detail > 1 || this.vote(choice);
    return button;
  }

  drawTools() {
    if (!this.shown) return;
    const { trial } = this.texts;
    const { level, side } = this.lens;
    const correcting = this.shown.earlier !== null;
    const undo = this.$(".undo");
    setFace(undo, correcting ? trial.keep : trial.undo, this.keys.cap("undo"));
    undo.ariaDisabled = String(!this.canUndo && !correcting);
    setFace(this.$(".zoom"), filled(trial.zoom, { level }), this.keys.cap("zoom"));
    setFace(this.$(".flip"), trial.flip, this.keys.cap("flip"));
    this.$(".flip").ariaPressed = String(side !== null);
    this.$(".besides").hidden = side === null;
  }

  flip() {
    this.lens.flip();
    this.announce(this.texts.trial[`${this.lens.side}_image`]);
  }

  announcePair(number, total) {
    const { question, prompt, practice } = this.shown.trial;
    const { announce, announce_practice } = this.texts.trial;
    const said = filled(practice ? announce_practice : announce, { number, total, question });
    this.announce(prompt === undefined ? said : `${said} ${prompt}`);
  }

  announce(text) {
    this.$(".announcement").textContent = text;
  }

  // ---- voting

  // Two frames later both images are on the screen; a page in the background draws no frames.
  async open(shown) {
    await nextFrame();
    await nextFrame();
    if (this.shown !== shown) return;
    const shownAt = (this.shownAt = performance.now());
    const left = () => this.settings.min_viewing_ms - (performance.now() - shownAt);
    while (left() > 0) await this.server.pause(left());
    if (this.shown === shown && this.shownAt === shownAt) this.allow(true);
  }

  allow(votable) {
    this.votable = votable;
    for (const button of this.$(".choices").children) button.ariaDisabled = String(!votable);
  }

  // No more votes on what is shown: it was voted on, or something stands before it.
  close() {
    this.allow(false);
    this.shown = null;
  }

  vote(choice) {
    if (!this.votable || !this.shown.trial.choices.includes(choice)) return;
    const response_ms = Math.min(LONGEST_MS, Math.round(performance.now() - this.shownAt));
    this.allow(false);
    for (const button of this.$(".choices").children) {
      button.classList.toggle("pressed", button.dataset.choice === choice);
    }
    this.voted(choice, this.settings.reasons ? this.reason.value.trim() : "", response_ms);
  }

  // Below a practice pair: was it right, and which side it is.
  feedback({ right, expected, foil }, proceed) {
    const { practice, side } = this.texts;
    const verdict = right ? practice.right : practice.not_quite;
    const why = filled(practice[foil] ?? practice.other, { side: side[expected] });
    this.$(".feedback strong").textContent = verdict;
    this.$(".feedback span").textContent = why;
    this.root.dataset.screen = "trial";
    this.root.dataset.feedback = expected;
    const button = this.$(".feedback button");
    button.textContent = practice.button;
    button.press = proceed;
    button.focus();
    this.announce(`${verdict} ${why}`);
  }

  // ---- keys

  // Does what the key says; true where the key is one of this screen's.
  key(event) {
    const step = panStep(event);
    if (step) {
      this.lens.pan(step);
      return true;
    }
    if (event.key === "Escape") return this.escape();
    const action = this.keys.action(event);
    const acts = {
      undo: () => isOff(this.$(".undo")) || this.undone(),
      zoom: () => this.lens.zoom(),
      flip: () => this.flip(),
      reason: () => this.settings.reasons && this.reason.focus(),
    };
    if (ORDER.includes(action)) this.vote(action);
    else acts[action]?.();
    return action !== undefined;
  }

  escape() {
    if (this.lens.side) this.lens.besides();
    else if (this.shown?.earlier) this.undone();
    return true;
  }
}
