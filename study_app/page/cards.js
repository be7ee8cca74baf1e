// What stands on each card.

function consentCard({ consent }, given) {
  const nodes = [paragraph(given.text), paragraph(consent.freely, "soft")];
  return { heading: consent.heading, nodes, button: consent.button };
}

// `examples` have their two images or, until they have come, empty frames.
function instructionsCard(texts, { text, examples }, caps, pictures) {
  const { instructions } = texts;
  const nodes = [paragraph(text)];
  if (examples.length) nodes.push(element("h2", instructions.examples));
  nodes.push(...examples.map((example) => exampleFigure(texts, example, pictures)));
  nodes.push(element("h2", instructions.keys), keyList(texts, caps));
  return { heading: instructions.heading, nodes, button: instructions.button, wide: true };
}

function exampleFigure(texts, example, pictures) {
  const figure = element("figure", "", { class: "example" });
  const pair = element("div", "", { class: "pair" });
  const why = texts.instructions[example.foil] ?? texts.instructions.other;
  for (const side of SIDES) {
    const frame = element("div", "", { class: "frame" });
    frame.classList.toggle("expected", side === example.expected);
    pair.append(frame);
    pictures(example.question_id, side).then((image) => {
      if (!image) return;
      image.alt = texts.trial[`${side}_image`];
      frame.replaceChildren(image);
    });
  }
  const caption = element("figcaption");
  caption.append(element("strong", example.question));
  caption.append(element("span", filled(why, { side: texts.side[example.expected] })));
  figure.append(pair, caption);
  return figure;
}

// `caps` are the faces of keys by what they do.
function keyList({ instructions }, caps) {
  const list = element("dl", "", { class: "keys" });
  for (const [meaning, faces] of Object.entries(caps)) {
    const keys = element("dt");
    keys.append(...faces.map((face) => element("kbd", face)));
    list.append(keys, element("dd", instructions[meaning]));
  }
  return list;
}

// Each check of the window: is it well, and what it says.
function viewingCard({ viewing }, checks) {
  const list = element("ul", "", { class: "checks" });
  for (const { name, good, values } of checks) {
    const item = element("li", "", { class: good ? "good" : "better" });
    item.append(element("span", good ? "✓" : "!", { class: "sign", "aria-hidden": "true" }));
    item.append(element("p", filled(viewing[good ? name : `${name}_better`], values)));
    list.append(item);
  }
  const nodes = [paragraph(viewing.text), list, paragraph(viewing.night, "soft")];
  return { heading: viewing.heading, nodes, button: viewing.button };
}

// What stands between `place`, where the annotator was last, and this trial; null: nothing does.
function pauseCard(texts, place, trial, pace) {
  const now = performance.now();
  if (place?.question_id !== trial.question_id) return partCard(texts, trial);
  if (place.practice && !trial.practice) return practicedCard(texts);
  if (place.block !== trial.block) return blockCard(texts, trial);
  return pace.breakDue(now) ? restCard(texts, pace.minutes(now)) : null;
}

function partCard({ title, part }, trial) {
  const nodes = [paragraph(part.intro), paragraph(trial.question, "asked-here")];
  nodes.push(paragraph("prompt" in trial ? part.with_prompt : part.without_prompt));
  if (trial.practice) nodes.push(paragraph(part.practice));
  const heading = trial.parts > 1 ? filled(part.heading, trial) : title;
  return { heading, nodes, button: part.button };
}

function practicedCard({ practiced }) {
  return { ...practiced, nodes: [paragraph(practiced.text)] };
}

function blockCard({ block }, trial) {
  const heading = filled(block.heading, trial);
  return { heading, nodes: [paragraph(filled(block.text, trial))], button: block.button };
}

function restCard({ rest }, minutes) {
  const nodes = [paragraph(filled(rest.text, { minutes }))];
  return { heading: rest.heading, nodes, button: rest.button };
}

function waitingCard({ waiting }, unsent) {
  const nodes = [paragraph(waiting.text)];
  if (unsent) nodes.push(paragraph(waiting.kept));
  return { heading: waiting.heading, nodes };
}

function narrowCard({ narrow }, sizes) {
  return { heading: narrow.heading, nodes: [paragraph(filled(narrow.text, sizes))] };
}

function plainCard({ heading, text }) {
  return { heading, nodes: [paragraph(text)] };
}

// `completion` is {code, return_url}, each perhaps missing, or null.
function thanksCard({ thanks }, completion) {
  const { code, return_url } = completion ?? {};
  const nodes = [paragraph(thanks.text)];
  if (code) nodes.push(paragraph(thanks.code), codeLine(thanks, code));
  if (isWebAddress(return_url)) {
    nodes.push(paragraph(thanks.return_text));
    nodes.push(element("a", thanks.return_button, { href: return_url, class: "primary" }));
  } else if (!code) nodes.push(paragraph(thanks.close));
  return { heading: thanks.heading, nodes };
}

function codeLine(thanks, code) {
  const line = element("div", "", { class: "code" });
  const shown = element("code", code);
  const button = element("button", thanks.copy, { type: "button", class: "quiet" });
  const said = element("span", "", { role: "status" });
  button.press = async () => {
    said.textContent = (await copied(shown)) ? thanks.copied : thanks.copy_yourself;
  };
  line.append(shown, button, said);
  return line;
}

async function copied(shown) {
  getSelection().selectAllChildren(shown);
  if (!navigator.clipboard) return false; // a browser has it on secure pages only
  return navigator.clipboard.writeText(shown.textContent).then(() => true, () => false);
}

function isWebAddress(address) {
  return /^https?:\/\//.test(address ?? "");
}
