// The explorer: shows the pairs that the form, or the address after "#pairs?", asks for.
(() => {
  "use strict";
  const PER_PAGE = 12;
  const byId = (id) => document.getElementById(`pairs-${id}`);
  const data = JSON.parse(byId("data").textContent);
  const pairs = data.pairs.map((pair, place) => ({ ...pair, place, prompt: data.prompts[pair.prompt] }));
  const [form, cards, pages, dialog, template] = ["form", "cards", "pages", "dialog", "card"].map(byId);
  const fields = [...form.elements].filter((field) => field.name);
  let shown = pairs; // those that fit, in their order
  let looked = 0; // the place in `shown` of the pair in the dialog

  // ---- what is asked for: the form's fields, which the address repeats

  const asked = () => Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));

  function writeAddress() {
    const words = new URLSearchParams(asked()).toString();
    history.replaceState(null, "", `#pairs${words && `?${words}`}`);
  }

  /** Fill the form from the address; gives what in it this study does not have. */
  function readAddress() {
    const words = new URLSearchParams(location.hash.split("?").slice(1).join("?"));
    form.reset();
    form.elements.pair.value = form.elements.page.value = ""; // hidden fields are not reset
    const unknown = [];
    for (const [name, value] of words) {
      const field = fields.find((known) => known.name === name);
      if (!field || !fill(field, value)) unknown.push(`${name} “${value}”`);
    }
    return unknown;
  }

  function fill(field, value) {
    if (field.type === "checkbox") return (field.checked = value === "1");
    if (field.name === "pair" && !pairs.some((pair) => pair.id === value)) return false;
    if (field.name === "page" && !/^[1-9]\d*$/.test(value)) return false;
    const before = field.value;
    field.value = value;
    if (field.value === value) return true;
    field.value = before; // a choice that the list does not have
    return false;
  }

  // ---- which pairs fit, and their order

  const answersOn = (pair, question) =>
    pair.answers.filter((answer, n) => answer && (!question || data.questions[n] === question));

  function fits(pair, want) {
    const models = [pair.a, pair.b];
    const answers = answersOn(pair, want.question);
    const found = (word) => [pair.prompt.text, pair.prompt.id, pair.id].some((text) => folded(text).includes(word));
    return (
      (!want.pair || pair.id === want.pair) &&
      (!want.question || answers.length > 0) &&
      (!want.a || models.includes(want.a)) &&
      (!want.b || models.includes(want.b)) &&
      (!want.category || pair.prompt.category === want.category) &&
      (!want.challenge || pair.prompt.challenge === want.challenge) &&
      (!want.upset || answers.some((answer) => answer.upset)) &&
      (!want.search || found(folded(want.search)))
    );
  }

  const folded = (text) => text.normalize("NFKC").toLowerCase();

  /** What a pair is ordered by, the largest first; of several questions the largest counts. */
  function rank(pair, want) {
    const answers = answersOn(pair, want.question);
    const votes = (answer) => answer.votes.reduce((sum, n) => sum + n, 0);
    const known = answers.filter((answer) => answer.split !== null);
    if (want.sort === "disagreement") return highest(known.map((answer) => [answer.split, votes(answer)]));
    if (want.sort === "agreement") return highest(known.map((answer) => [-answer.split, votes(answer)]));
    const gaps = Object.entries(pair.gaps[want.sort] ?? {});
    return highest(gaps.filter(([on]) => !want.question || on === want.question).map(([, gap]) => [-gap.place, 0]));
  }

  const highest = (ranks) => ranks.reduce((best, one) => (compare(one, best) > 0 ? one : best), [-Infinity, 0]);
  const compare = (one, other) => (one[0] === other[0] ? one[1] - other[1] : one[0] > other[0] ? 1 : -1);

  function chosen(want) {
    const fitting = pairs.filter((pair) => fits(pair, want));
    if (!want.sort) return fitting;
    const ranked = fitting.map((pair) => [rank(pair, want), pair]);
    ranked.sort(([one, first], [other, second]) => compare(other, one) || first.place - second.place);
    return ranked.map(([, pair]) => pair);
  }

  // ---- drawing

  function show(unknown = []) {
    shown = chosen(asked());
    const last = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    const page = Math.min(Number(form.elements.page.value) || 1, last);
    form.elements.page.value = page > 1 ? page : "";
    cards.replaceChildren(...shown.slice((page - 1) * PER_PAGE, page * PER_PAGE).map(card));
    const [n, all] = [shown.length, pairs.length].map((count) => count.toLocaleString("en"));
    byId("status").textContent = [
      `${n === all ? "All" : `${n} of`} ${all} pairs${last > 1 ? `, page ${page} of ${last}` : ""}.`,
      ...chosenWords(),
      ...unknown.map((words) => `The link asks for ${words}, which this study does not have.`),
    ].join(" ");
    pages.hidden = last === 1;
    pages.querySelector("span").textContent = `Page ${page} of ${last}`;
    const [back, on] = pages.querySelectorAll("button");
    [back.disabled, on.disabled] = [page === 1, page === last];
  }

  /** What is chosen in the form, in the form's words. */
  function chosenWords() {
    const want = asked();
    const set = fields.filter((field) => want[field.name] && field.type !== "hidden");
    const words = set.map((field) => {
      const label = field.labels[0].textContent.trim();
      if (field.type === "checkbox") return label;
      const value = field.selectedOptions ? field.selectedOptions[0].textContent : `“${field.value}”`;
      return `${field.labels[0].firstChild.textContent.trim().toLowerCase()} ${value}`;
    });
    if (want.pair) words.push("the one pair of a link");
    return words.length ? [`Chosen: ${words.join("; ")}.`] : [];
  }

  function card(pair) {
    const article = template.content.cloneNode(true).firstElementChild;
    article.dataset.pair = pair.id;
    describe(article, pair);
    const address = `#pairs?${new URLSearchParams({ pair: pair.id })}`;
    article.querySelector(".link a").href = address;
    pictures(article, pair, (image) => [small(image), data.embedded ? address : large(image)]);
    for (const link of article.querySelectorAll(".pair a")) link.addEventListener("click", (event) => look(event, pair));
    return article;
  }

  const small = (image) => (data.embedded ? data.images[image] : `pairs/small/${data.images[image]}`);
  const large = (image) => `pairs/large/${data.images[image]}`;

  function pictures(root, pair, addresses) {
    root.querySelectorAll(".pair a").forEach((link, n) => {
      const [model, image] = n === 0 ? [pair.a, pair.image_a] : [pair.b, pair.image_b];
      const [source, target] = addresses(image);
      const picture = link.querySelector("img");
      picture.alt = `${model}: ${pair.prompt.text}`;
      picture.src = source;
      if (target) link.href = target;
      link.querySelector("span").textContent = model;
      link.querySelector("span").setAttribute("aria-hidden", "true"); // the picture says it
    });
  }

  function describe(root, pair) {
    const { category, challenge, text } = pair.prompt;
    root.querySelector(".why").textContent = [category, challenge, `seed ${pair.seed}`].filter(Boolean).join(" · ");
    root.querySelector("h3").textContent = text;
    const heads = root.querySelectorAll("thead th");
    [heads[0].textContent, heads[2].textContent] = [`for ${pair.a}`, `for ${pair.b}`];
    root.querySelector("tbody").replaceChildren(...voteRows(pair), ...gapRows(pair), ...scoreRows(pair));
  }

  function voteRows(pair) {
    return data.questions.flatMap((question, n) => {
      const answer = pair.answers[n];
      if (!answer) return [];
      const [a, b, ties, bad] = answer.votes;
      const words = [question, ties && `${ties} tied`, bad && `${bad} both bad`, answer.upset && "upset"];
      const made = row([a, b], [a, b], words.filter(Boolean).join(" · "));
      made.querySelector("th").append(bar([a, ties + bad, b]));
      return [made];
    });
  }

  /** Where the order is by what people and a metric make of a pair: both, per question. */
  function gapRows(pair) {
    const want = asked();
    const gaps = Object.entries(pair.gaps[want.sort] ?? {}).filter(([on]) => !want.question || on === want.question);
    return gaps.flatMap(([on, gap]) => [
      shareRow(gap.share_a, `${on}: share of the votes`),
      shareRow(gap.expected_a, `${on}: expected by ${gap.label}`),
    ]);
  }

  function scoreRows(pair) {
    const scores = pair.scores.map(([label, a, b]) => score(row([a, b].map(digits), [a, b], label)));
    return [...scores, ...pair.judged.map(([on, label, a]) => shareRow(a, `${on}: ${label}`))];
  }

  function score(made) {
    made.className = "score";
    return made;
  }

  function shareRow(a, words) {
    const percent = (share) => (a === null ? "–" : `${Math.round(100 * share)}%`);
    return score(row([percent(a), percent(1 - a)], [a, 1 - a], words));
  }

  const digits = (value) => String(Number(value.toPrecision(4))).replace("-", "−");

  function row(texts, [a, b], words) {
    const made = document.createElement("tr");
    const cells = ["td", "th", "td"].map((tag) => made.appendChild(document.createElement(tag)));
    [cells[0].textContent, cells[1].textContent, cells[2].textContent] = [texts[0], words, texts[1]];
    cells[1].scope = "row";
    cells[0].classList.toggle("more", a > b);
    cells[2].classList.toggle("more", b > a);
    return made;
  }

  function bar(counts) {
    const made = document.createElement("div");
    made.className = counts[0] > counts[2] ? "split first" : counts[2] > counts[0] ? "split second" : "split";
    for (const count of counts) made.appendChild(document.createElement("span")).style.flexGrow = count;
    return made;
  }

  // ---- a closer look

  function look(event, pair) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab of its own
    event.preventDefault();
    looked = shown.indexOf(pair);
    enlarge();
    dialog.returnValue = "";
    dialog.showModal();
    dialog.querySelector("[data-close]").focus();
  }

  function enlarge() {
    const pair = shown[looked];
    describe(dialog, pair);
    pictures(dialog, pair, (image) => (data.embedded ? [small(image)] : [large(image), large(image)]));
    byId("place").textContent = `Pair ${looked + 1} of ${shown.length}`;
    const [back, on] = dialog.querySelectorAll("[data-step]");
    back.setAttribute("aria-disabled", looked === 0); // it may have the focus, so it stays
    on.setAttribute("aria-disabled", looked === shown.length - 1);
  }

  function step(by) {
    const next = looked + Number(by);
    if (next < 0 || next >= shown.length) return;
    looked = next;
    enlarge();
  }

  dialog.addEventListener("click", (event) => {
    if (event.target.dataset.step) step(event.target.dataset.step);
    if (event.target === dialog || "close" in event.target.dataset) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "elsewhere") return; // a link went there
    turn(Math.floor(looked / PER_PAGE) + 1);
    cards.children[looked % PER_PAGE].querySelector(".pair a").focus();
  });

  // ---- the form, the pages, the address

  function turn(page) {
    if (page === (Number(form.elements.page.value) || 1)) return;
    form.elements.page.value = page > 1 ? page : "";
    show();
    writeAddress();
  }

  function change() {
    form.elements.pair.value = form.elements.page.value = "";
    show();
    writeAddress();
  }

  function follow() {
    if (!/^#pairs(\?|$)/.test(location.hash)) return;
    if (dialog.open) dialog.close("elsewhere");
    show(readAddress());
    byId("heading").scrollIntoView({ behavior: "instant" });
    byId("heading").focus({ preventScroll: true });
  }

  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("[data-all]").addEventListener("click", () => {
    form.reset();
    change();
  });
  pages.addEventListener("click", (event) => {
    if (!event.target.dataset.step) return;
    turn((Number(form.elements.page.value) || 1) + Number(event.target.dataset.step));
    byId("status").scrollIntoView({ behavior: "instant" });
    byId("status").focus({ preventScroll: true });
  });
  addEventListener("hashchange", follow);
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#pairs']");
    if (link && link.getAttribute("href") === location.hash) follow(); // no hashchange comes
  });
  form.hidden = false;
  form.reset();
  show();
  follow();
})();
