// One annotator's page from link to thanks: which screen comes when, and votes on their way.

const POLL_MS = 20_000;
const LONG_REST_MS = 60_000;
const SLOW_MS = 700;
const SIGHTED_STAGES = ["consent", "instructions", "vote"]; // those that need a wide window
const CLOSED_STAGES = ["unknown", "full", "withdrawn"]; // nobody takes part any more

const opened = new WeakMap(); // Streamlit calls this again whenever its script has run

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".session");
  if (!opened.has(root)) opened.set(root, new Session(data.texts, root));
  return () => {
    opened.get(root)?.closing.abort();
    opened.delete(root);
  };
}

class Session {
  constructor(texts, root) {
    Object.assign(this, { texts, root });
    this.closing = new AbortController(); // ends listeners, requests and waits at once
    this.bar = new Bar(root, texts);
    this.card = new Card(root);
    const trouble = (matter) => this.trouble(matter);
    this.server = new Server({ trouble, signal: this.closing.signal });
    this.withdrawal = new Withdrawal(root, texts.withdrawal, () => this.withdraw());
    this.state = { stage: "opening" };
    this.trials = []; // not answered yet, in order
    this.last = null; // the last answer of this sitting, which may be corrected
    this.correcting = false;
    this.held = null; // a practice trial that stays until its feedback was read
    this.resting = null; // draws the pause that stays until the annotator goes on
    this.screen = null; // draws what is on the screen, or would be in a wider window
    this.failed = new Set(); // trials of which an image did not come at once
    this.asked = this.heard = 0; // requests so far; a later answer makes earlier ones stale
    document.documentElement.lang = root.lang = texts.language;
    this.presses = new Presses(this);
    this.bar.title();
    sendLeft(this.server).then(() => this.start());
  }

  // ---- the server's answers

  async start() {
    const answer = await this.ask("session", { ...windowSize(), ...screenSize() }, (first) => {
      if (first.status !== 200) return;
      this.session_id = first.session_id;
      if (!this.outbox) this.settle(first.settings);
      else if (!this.outbox.isNamed(first.settings.outbox)) this.beginAnew();
    });
    if (!answer) return;
    if (answer.status !== 200) {
      await this.server.pause(POLL_MS);
      return this.start();
    }
    this.fitWindow();
    this.send();
    return answer;
  }

  // This browser has been let in as somebody else meanwhile: what the one before has not sent stays
  // under their name until they open their link again.
  beginAnew() {
    this.closing.abort();
    location.reload();
  }

  settle(settings) {
    const { texts, root, server } = this;
    this.outbox = new Outbox(settings.outbox);
    this.placeName = `evalkit-place-${settings.outbox}`;
    this.keys = new Keys(settings.keys, texts.keys);
    this.caps = this.keys.told(settings.reasons);
    this.pace = new Pace(settings.break_minutes);
    this.viewing = new Viewing(settings.viewing_size);
    root.style.setProperty("--viewing-size", `${settings.viewing_size}px`);
    this.pictures = new Pictures(server, {
      ready: () => this.advance(),
      failed: (...failure) => this.imageFailed(...failure),
    });
    this.trial = new TrialScreen(root, {
      texts,
      server,
      settings,
      keys: this.keys,
      voted: (...vote) => this.vote(...vote),
      undone: () => this.undo(),
    });
    const { signal } = this.closing;
    window.addEventListener("resize", () => this.fitWindow(), { signal });
  }

  // The answer to a request, after its state was taken over; null where the page closes or this
  // annotator is not known. `before` sees the answer before its state.
  async ask(path, body = {}, before = () => {}) {
    const number = (this.asked += 1);
    const answer = await this.server.post(path, body);
    if (!answer || this.closing.signal.aborted || CLOSED_STAGES.includes(this.state.stage)) {
      return null;
    }
    if (answer.status === 403 && path !== "vote") {
      this.receive({ stage: "unknown" });
      return null;
    }
    before(answer);
    if (this.closing.signal.aborted) return null;
    if (answer.status === 200 && number > this.heard) {
      this.heard = number;
      this.receive(answer);
    }
    return answer;
  }

  askTrials() {
    return this.askOwn("trials");
  }

  // Where the server refuses, what it knows of this session has changed: begin it again.
  async askOwn(path, body = {}) {
    const answer = await this.ask(path, { session_id: this.session_id, ...body });
    if (answer && answer.status !== 200) await this.start();
    return answer;
  }

  receive(state) {
    const leaving = this.state.stage === "withdrawing";
    if (leaving && !CLOSED_STAGES.includes(state.stage)) return; // an answer from before
    this.state = state;
    this.withdrawal.offer(![...CLOSED_STAGES, "withdrawing"].includes(state.stage));
    const unsent = (trial) => !this.outbox.holds(trial.trial_id);
    this.trials = state.stage === "vote" ? state.trials.filter(unsent) : [];
    if (state.stage === "vote") this.holdPictures();
    this.advance();
  }

  // ---- which screen comes

  advance() {
    const { stage } = this.state;
    if (stage !== "vote" && stage !== "done") return this.showStage(stage);
    if (this.state.progress) this.count();
    if (this.held || this.correcting) return;
    if (this.resting) return this.present(this.resting);
    const [trial] = this.trials;
    if (!trial) {
      const finished = stage === "done" && !this.outbox.votes.length;
      return finished ? this.showThanks() : this.wait();
    }
    if (this.trial.shown?.trial.trial_id === trial.trial_id) return;
    const pause = pauseCard(this.texts, recall(this.placeName), trial, this.pace);
    if (pause) return this.rest(pause, trial);
    const images = this.pictures.of(trial.trial_id);
    if (!images) return this.wait();
    this.showTrial(trial, images);
  }

  // Draws now, and again after the window was too narrow.
  present(draw) {
    this.screen = draw;
    const narrow = this.viewing?.narrow && SIGHTED_STAGES.includes(this.state.stage);
    if (!narrow) return draw();
    this.trial.close();
    this.showCard(narrowCard(this.texts, { needed: this.viewing.needed, width: innerWidth }));
  }

  showCard(card, proceed) {
    this.trial?.close();
    if (this.state.stage !== "vote") this.bar.title();
    this.card.show(card, proceed);
  }

  showStage(stage) {
    const { texts, state } = this;
    this.correcting = false;
    this.held = this.resting = null;
    this.bar.takeBack("correcting", "loading");
    if (stage === "consent") {
      const { version } = state.consent;
      const proceed = () => this.askOwn("consent", { version });
      return this.present(() => this.showCard(consentCard(texts, state.consent), proceed));
    }
    if (stage === "instructions") return this.showInstructions(state.instructions);
    this.present(() => this.showCard(plainCard(texts[stage])));
    if (stage === "paused" || stage === "wait") this.poll();
  }

  showInstructions(instructions) {
    const { texts } = this;
    const fetched = new Map();
    const pictures = (question_id, side) => {
      const path = `example/${encodeURIComponent(question_id)}/${side}`;
      if (!fetched.has(path)) fetched.set(path, exampleImage(this.server, path));
      return fetched.get(path);
    };
    const check = () => this.showCard(viewingCard(texts, this.viewing.checks()), instructed);
    const instructed = () => this.askOwn("instructed");
    this.present(() =>
      this.showCard(instructionsCard(texts, instructions, this.caps, pictures), () => this.present(check)),
    );
  }

  showThanks() {
    const card = thanksCard(this.texts, this.state.completion);
    this.bar.takeBack("loading", "image_slow");
    this.present(() => this.showCard({ ...card, aside: this.undoAside() }));
  }

  rest(card, { question_id, block, practice }) {
    this.pace.rest();
    this.bar.takeBack("loading", "image_slow");
    const began = performance.now();
    const proceed = () => {
      keep(this.placeName, { question_id, block, practice });
      this.resting = null;
      if (performance.now() - began > LONG_REST_MS) this.askTrials(); // they may be lent anew
      this.advance();
    };
    this.resting = () => this.showCard({ ...card, aside: this.undoAside() }, proceed);
    this.present(this.resting);
  }

  undoAside() {
    if (!this.last) return null;
    return { label: this.texts.trial.undo, cap: this.keys.cap("undo"), press: () => this.undo() };
  }

  showTrial(trial, images) {
    this.bar.takeBack("loading", "image_slow");
    this.present(() => {
      this.pace.begin(performance.now());
      this.trial.show({ trial, images, earlier: null }, this.last !== null);
      this.count();
      const { done, total } = this.state.progress;
      this.trial.announcePair(done + this.unsent + 1, total);
    });
  }

  // What is shown stays, but for a server that cannot be reached: then kind words.
  wait() {
    if (this.server.away) {
      const unsent = this.outbox.votes.length;
      return this.present(() => this.showCard(waitingCard(this.texts, unsent)));
    }
    this.trial.close();
    this.card.busy(true);
    setTimeout(() => this.isBetween && !this.bar.matter && this.bar.say("loading"), SLOW_MS);
    if (!this.trials.length && !this.outbox.votes.length) this.poll();
  }

  // Nothing is on the screen that an annotator could do.
  get isBetween() {
    return this.state.stage === "vote" && !this.trial.shown && !this.resting;
  }

  async poll() {
    if (this.polling) return;
    this.polling = true;
    await this.server.pause(POLL_MS);
    this.polling = false;
    if (this.state.stage === "paused" || !this.trials.length) this.askTrials();
  }

  // ---- votes

  vote(choice, reason, response_ms) {
    const { trial, images, earlier } = this.trial.shown;
    const { trial_id } = trial;
    const revision = earlier ? earlier.revision + 1 : 1;
    const { session_id } = this;
    this.outbox.put({ session_id, trial_id, choice, response_ms, revision, reason });
    this.bar.takeBack("answered_elsewhere", "not_kept", "not_changed", "correcting");
    if (trial.practice) this.pace.rest();
    else if (!earlier) this.pace.answer(performance.now());
    this.trials = this.trials.filter((other) => other.trial_id !== trial_id);
    this.correcting = false;
    this.held = trial.practice ? trial_id : null;
    this.last = trial.practice ? null : { trial, images, choice, reason, revision };
    this.holdPictures();
    this.send();
    this.advance();
  }

  undo() {
    if (this.correcting) {
      this.correcting = false;
      this.bar.takeBack("correcting");
      return this.advance();
    }
    if (!this.last || this.held) return;
    this.correcting = true;
    const { trial, images } = this.last;
    this.bar.say("correcting");
    this.present(() => this.trial.show({ trial, images, earlier: this.last }, false));
  }

  async send() {
    if (this.sending || !this.outbox) return;
    this.sending = true;
    let vote;
    while ((vote = this.outbox.votes[0])) {
      const answer = await this.ask("vote", vote, (heard) => this.settled(vote, heard));
      if (!answer) break;
      if (answer.status === 200) continue;
      const foreign = answer.status === 403; // or the browser is somebody else's, or nobody's
      const known = await (foreign ? this.start() : this.askTrials());
      if (!known || this.closing.signal.aborted) break; // the vote waits for its owner's link
      if (foreign) this.drop(vote);
    }
    this.sending = false;
  }

  // The server has said what stands: this vote, another of this annotator's, or none.
  settled(vote, { status, vote: stands, feedback }) {
    if (status === 403) return;
    if (status !== 200) return this.drop(vote);
    this.outbox.remove(vote);
    if (stands.choice !== vote.choice) {
      this.bar.say("answered_elsewhere");
      if (this.isLast(vote)) this.last = { ...this.last, ...stands };
    }
    if (this.held !== vote.trial_id) return;
    const proceed = () => {
      this.held = null;
      this.trial.close();
      this.advance();
    };
    if (feedback) this.present(() => this.trial.feedback(feedback, proceed));
    else this.held = null;
  }

  // A vote that cannot stand.
  drop(vote) {
    this.outbox.remove(vote);
    this.bar.say(vote.revision > 1 ? "not_changed" : "not_kept");
    if (this.isLast(vote)) this.last = null;
    if (this.held === vote.trial_id) this.held = null;
  }

  isLast(vote) {
    return this.last?.trial.trial_id === vote.trial_id;
  }

  async withdraw() {
    this.outbox?.clear();
    this.receive({ stage: "withdrawing" });
    await this.ask("withdraw");
  }

  // ---- progress, pictures, window, trouble

  get unsent() {
    return this.outbox.votes.filter((vote) => vote.revision === 1).length;
  }

  count() {
    const { progress } = this.state;
    if (!progress) return;
    const left = this.pace.left(Math.max(0, progress.total - progress.done - this.unsent));
    const practice = this.trial.shown?.trial.practice ?? false;
    this.bar.count(progress, left, practice);
  }

  holdPictures() {
    const last = this.last ? [this.last.trial] : [];
    this.pictures.hold([...this.trials, ...last].map((trial) => trial.trial_id));
  }

  imageFailed(trial_id, status) {
    if (this.isBetween) this.bar.say("image_slow");
    if (!this.failed.has(trial_id)) this.note("image_failed");
    this.failed.add(trial_id);
    const refused = status >= 400 && status < 500 && status !== TOO_FAST;
    if (refused && this.trials.some((trial) => trial.trial_id === trial_id)) this.askTrials();
  }

  fitWindow() {
    if (!this.viewing) return;
    const { narrow } = this.viewing;
    const changed = narrow !== (this.wasNarrow ?? false);
    this.wasNarrow = narrow;
    if (changed) this.note(narrow ? "narrow" : "wide");
    const told = narrow || this.state.stage === "instructions"; // these cards name its size
    if (this.screen && (changed || told)) this.present(this.screen);
  }

  note(event) {
    if (this.session_id) {
      this.server.note({ session_id: this.session_id, event, ...windowSize() });
    }
  }

  trouble(matter) {
    if (!matter) return this.bar.takeBack("offline", "too_fast");
    this.bar.say(matter);
    if (this.state.stage === "opening") this.showCard(waitingCard(this.texts, 0));
    else if (this.isBetween) this.advance();
  }
}
