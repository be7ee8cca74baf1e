// The line above every screen: how far, how long still, what is the matter, and the way out.

class Bar {
  constructor(root, texts) {
    this.root = root;
    this.texts = texts;
    this.matter = null;
  }

  $(selector) {
    return this.root.querySelector(selector);
  }

  // What is the matter, by its name in the texts; it stays until it is taken back.
  say(matter) {
    this.matter = matter;
    this.$(".status").textContent = matter ? this.texts.status[matter] : "";
  }

  takeBack(...matters) {
    if (matters.includes(this.matter)) this.say(null);
  }

  // Only acknowledged answers are counted; `milliseconds` is for what is left, or null.
  count(progress, milliseconds, practice) {
    const { done, total, parts, blocks } = progress;
    const { texts } = this;
    const pattern = blocks > 1 ? texts.progress.in_blocks : texts.progress.answered;
    const answered = filled(pattern, progress);
    const placed = filled(texts.progress.in_parts, { ...progress, answered });
    const said = parts > 1 ? placed : answered;
    this.$(".count").textContent = practice ? texts.progress.practice : said;
    this.$(".time-left").textContent = practice ? "" : timeLeft(milliseconds, texts.time_left);
    const line = this.$(".line");
    line.hidden = false;
    line.ariaValueMax = total;
    line.ariaValueNow = done;
    line.ariaLabel = texts.progress.label;
    line.ariaValueText = filled(texts.progress.spoken, progress);
    line.firstElementChild.style.width = `${total ? (100 * done) / total : 0}%`;
  }

  // Above a screen on which nothing is counted stands the study's title.
  title() {
    this.$(".count").textContent = this.texts.title;
    this.$(".time-left").textContent = "";
    this.$(".line").hidden = true;
  }
}
