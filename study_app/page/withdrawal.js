// The way out, reachable from every screen: stop taking part and delete all answers.

class Withdrawal {
  // `withdraw` is called once the annotator has confirmed.
  constructor(root, texts, withdraw) {
    this.dialog = root.querySelector("dialog");
    this.opener = root.querySelector(".withdraw");
    const [keep, confirm] = this.dialog.querySelectorAll("button");
    this.opener.textContent = texts.open;
    this.dialog.querySelector("h2").textContent = texts.heading;
    this.dialog.querySelector("p").textContent = texts.text;
    keep.textContent = texts.keep;
    confirm.textContent = texts.confirm;
    this.opener.press = () => this.dialog.showModal();
    keep.press = () => this.dialog.close();
    confirm.press = () => {
      this.dialog.close();
      withdraw();
    };
  }

  get asking() {
    return this.dialog.open;
  }

  offer(offered) {
    this.opener.hidden = !offered;
  }
}
