// One annotator's page: which screen is shown, both images of a trial, keys, buttons and votes.

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", b: "both_bad" };
const CAPS = { left: "←", right: "→", tie: "↓", both_bad: "B" };
const ORDER = ["left", "tie", "both_bad", "right"];
const SPACE_BESIDE_IMAGES = 72; // CSS pixels: the gap and both margins
const LONG_PROMPT = 150; // characters

export default function ({ data, parentElement }) {
  const page = new Page(data, parentElement.querySelector(".session"));
  page.open();
  return () => page.close();
}

class Page {
  constructor(data, root) {
    this.data = data;
    this.texts = data.texts;
    this.root = root;
    this.closing = new AbortController(); // ends listeners, requests and waits at once
    this.server = new Server({
      token: data.token,
      texts: data.texts.status,
      say: (text) => this.say(text),
      signal: this.closing.signal,
    });
    this.partName = `evalkit-part-${data.outbox}`;
    this.trial = null; // the trial on the screen
    this.votable = false;
    this.screen = null; // draws the current screen again, after the window was too narrow
    this.turn = 0; // a newer answer makes an older one, still loading its images, step back
  }

  $(selector) {
    return this.root.querySelector(selector);
  }

  open() {
    this.root.lang = this.texts.language;
    if (this.data.screen === "unknown") return this.message(this.texts.unknown);
    if (this.data.screen === "waiting") {
      this.message(this.texts.waiting);
      return this.server.pause(5000).then(() => this.closing.signal.aborted || location.reload());
    }
    this.outbox = new Outbox(this.data.outbox);
    this.root.style.setProperty("--viewing-size", `${this.data.viewing_size}px`);
    const signal = this.closing.signal;
    window.addEventListener("keydown", (event) => this.key(event), { signal });
    window.addEventListener("click", (event) => this.click(event), { signal, capture: true });
    window.addEventListener("resize", () => this.fitWindow(), { signal });
    this.stayUsable();
    return this.data.consented ? this.start(false) : this.askConsent();
  }

  close() {
    this.closing.abort();
    this.releaseImages();
  }

  // While the server is away, Streamlit's dialog (hidden by app.py) makes the whole page inert and
  // swallows clicks beside it: hence this, and clicks are heard before the dialog hears them.
  stayUsable() {
    const app = document.getElementById("root");
    const observer = new MutationObserver(() => (app.inert = false));
    observer.observe(app, { attributeFilter: ["inert"] });
    this.closing.signal.addEventListener("abort", () => observer.disconnect());
  }

  // ---- messages

  askConsent() {
    const { heading, instructions_heading, button } = this.texts.consent;
    this.message({ heading, text: this.data.consent, button }, () => this.start(true), [
      element("h2", instructions_heading),
      element("p", this.data.instructions),
    ]);
  }

  introducePart(trial, proceed) {
    const { heading, intro, without_prompt, with_prompt, button } = this.texts.part;
    const asked = element("p", trial.question);
    asked.className = "asked";
    const hint = "prompt" in trial ? with_prompt : without_prompt;
    const title = trial.parts > 1 ? filled(heading, trial) : this.texts.title;
    this.message({ heading: title, text: intro, button }, proceed, [asked, element("p", hint)]);
  }

  message({ heading, text, button }, proceed, more = []) {
    this.screen = () => this.message({ heading, text, button }, proceed, more);
    if (this.narrow() && proceed) return this.sayNarrow();
    this.root.dataset.screen = "message";
    this.$(".card h1").textContent = heading;
    this.$(".card .text").replaceChildren(element("p", text), ...more);
    const primary = this.$(".primary");
    primary.hidden = !proceed;
    primary.textContent = button ?? "";
    primary.onclick = () => {
      primary.onclick = null; // one press is enough
      proceed();
    };
    this.$(".card h1").focus();
  }

  // ---- a window that is wide enough

  narrow() {
    return window.innerWidth < this.neededWidth();
  }

  neededWidth() {
    return 2 * this.data.viewing_size + SPACE_BESIDE_IMAGES;
  }

  sayNarrow() {
    const { heading, text } = this.texts.narrow;
    this.root.dataset.screen = "message";
    this.root.dataset.narrow = "";
    this.votable = false;
    this.$(".card h1").textContent = heading;
    const sizes = { needed: this.neededWidth(), width: window.innerWidth };
    this.$(".card .text").replaceChildren(element("p", filled(text, sizes)));
    this.$(".primary").hidden = true;
  }

  fitWindow() {
    if (this.narrow()) {
      if (this.screen) this.sayNarrow();
    } else if ("narrow" in this.root.dataset) {
      delete this.root.dataset.narrow;
      this.screen();
    }
  }

  // ---- trials

  async start(consent) {
    const answer = await this.server.post("session", {
      consent,
      viewport_width: Math.max(1, window.innerWidth),
      viewport_height: Math.max(1, window.innerHeight),
      pixel_ratio: window.devicePixelRatio,
    });
    if (!answer) return;
    if (answer.status === 409) return this.askConsent();
    if (answer.status !== 200) return this.message(this.texts.unknown);
    this.session_id = answer.session_id;
    await (this.outbox.votes.length ? this.sendVotes() : this.receive(answer));
  }

  async receive({ trial, progress }) {
    const turn = ++this.turn;
    if (!trial) {
      this.trial = null;
      return this.message(this.texts.thanks);
    }
    const sides = ["left", "right"];
    const images = await Promise.all(sides.map((side) => this.server.image(trial.trial_id, side)));
    if (turn !== this.turn || images.includes(null)) return;
    images.forEach((image, side) => (image.alt = this.texts.trial[`${sides[side]}_image`]));
    this.say("");
    const show = () => this.show(trial, images, progress);
    if (recall(this.partName) === trial.question_id) return show();
    this.introducePart(trial, () => {
      keep(this.partName, trial.question_id);
      show();
    });
  }

  show(trial, images, progress) {
    this.trial = trial;
    this.votable = false;
    this.screen = () => this.show(trial, images, progress);
    if (this.narrow()) return this.sayNarrow();
    this.$(".question").textContent = trial.question;
    const prompt = this.$(".prompt");
    prompt.textContent = trial.prompt ?? "";
    prompt.ariaLabel = this.texts.trial.prompt_label;
    prompt.classList.toggle("long", (trial.prompt ?? "").length > LONG_PROMPT);
    this.drawChoices(trial);
    this.drawProgress(progress);
    const frames = this.root.querySelectorAll(".frame");
    const shown = [...this.root.querySelectorAll(".frame img")];
    frames.forEach((frame, side) => frame.replaceChildren(images[side]));
    for (const old of shown) if (!images.includes(old)) URL.revokeObjectURL(old.src);
    if (this.root.dataset.screen !== "trial") {
      this.root.dataset.screen = "trial";
      this.$(".question").focus();
    }
    const number = progress.done + 1;
    const announcement = { ...progress, number, question: trial.question };
    this.$(".announcement").textContent = filled(this.texts.trial.announce, announcement);
    this.openVoting(trial);
  }

  // Two frames later both images are on the screen; a page in the background draws no frames.
  async openVoting(trial) {
    await nextFrame();
    await nextFrame();
    const shownAt = (this.shownAt = performance.now());
    const left = () => this.data.min_viewing_ms - (performance.now() - shownAt);
    while (left() > 0) await this.server.pause(left());
    const stale = this.trial !== trial || this.shownAt !== shownAt || this.narrow();
    const voted = this.outbox.votes.some((vote) => vote.trial_id === trial.trial_id);
    if (stale || voted || this.closing.signal.aborted) return;
    this.votable = true;
    for (const button of this.root.querySelectorAll(".choices button")) {
      button.ariaDisabled = "false";
    }
  }

  drawChoices(trial) {
    const group = this.$(".choices");
    const offered = ORDER.filter((choice) => trial.choices.includes(choice));
    if (group.dataset.offered !== offered.join()) {
      group.dataset.offered = offered.join();
      group.ariaLabel = this.texts.trial.choices;
      group.replaceChildren(...offered.map((choice) => this.choiceButton(choice)));
    }
    for (const button of group.children) {
      button.ariaDisabled = "true";
      button.classList.remove("pressed");
    }
  }

  choiceButton(choice) {
    const button = element("button", "");
    const cap = element("kbd", CAPS[choice]);
    const label = element("span", this.texts.trial[choice]);
    cap.ariaHidden = "true";
    button.type = "button";
    button.dataset.choice = choice;
    button.setAttribute("aria-keyshortcuts", keyOf(choice));
    button.append(...(choice === "right" ? [label, cap] : [cap, label]));
    return button;
  }

  drawProgress({ done, total }) {
    const bar = this.$(".bar");
    bar.ariaValueMax = total;
    bar.ariaValueNow = done;
    bar.ariaLabel = this.$(".count").textContent = filled(this.texts.trial.progress, { done, total });
    this.$(".bar .done").style.width = `${total ? (100 * done) / total : 0}%`;
  }

  // ---- votes

  key(event) {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const primary = this.$(".primary");
    const focused = this.root.getRootNode().activeElement;
    if (event.key === "Enter" && this.root.dataset.screen === "message" && focused !== primary) {
      return primary.click();
    }
    const choice = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (this.root.dataset.screen !== "trial" || !choice) return;
    event.preventDefault();
    this.vote(choice);
  }

  click(event) {
    const button = event.composedPath().find((node) => node.dataset?.choice);
    if (button) this.vote(button.dataset.choice);
  }

  vote(choice) {
    if (!this.votable || !this.trial.choices.includes(choice)) return;
    this.votable = false;
    const response_ms = Math.round(performance.now() - this.shownAt);
    this.outbox.put({ trial_id: this.trial.trial_id, choice, response_ms });
    for (const button of this.root.querySelectorAll(".choices button")) {
      button.ariaDisabled = "true";
      button.classList.toggle("pressed", button.dataset.choice === choice);
    }
    this.sendVotes();
  }

  async sendVotes() {
    let [answer, elsewhere] = [null, false];
    while (this.outbox.votes.length) {
      const vote = this.outbox.votes[0];
      answer = await this.server.post("vote", { ...vote, session_id: this.session_id });
      if (!answer) return; // the page is closing: the vote stays in the outbox
      this.outbox.remove(vote);
      if (answer.status !== 200) return this.start(false); // no such trial any more
      elsewhere = answer.vote.choice !== vote.choice;
    }
    await this.receive(answer);
    if (elsewhere) this.say(this.texts.status.answered_elsewhere);
  }

  say(text) {
    this.$(".status").textContent = text;
  }

  releaseImages() {
    for (const image of this.root.querySelectorAll(".frame img")) URL.revokeObjectURL(image.src);
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function keyOf(choice) {
  return Object.keys(KEYS).find((key) => KEYS[key] === choice);
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}
