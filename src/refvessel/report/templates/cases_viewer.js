const chunks = new Map();

/** The member of a list that stands in chunks, each parsed when first needed. */
function chunked(name, number) {
  const key = `${name}-${Math.floor(number / table.chunk)}`;
  if (!chunks.has(key)) chunks.set(key, block(key));
  return chunks.get(key)[number % table.chunk];
}

/** What a link calls a case. */
function nameOf(row) {
  return `${table.evaluations[columns.evaluation[row]].name}.${columns.sent_id[row]}`;
}

/** The row of the case that a link names; -1 where there is none. */
function rowOf(name) {
  return columns.sent_id.findIndex((_, row) => nameOf(row) === name);
}

/** A mask of a row, decoded; null where it has none. */
function maskOf(name, row) {
  const number = columns[name][row];
  return number < 0 ? null : decodeMask(chunked("masks", number).counts, columns.height[row], columns.width[row]);
}

/** Row and column of each break of a case, whether it is a gap, and the length lost. */
function breaksOf(row) {
  return chunked("details", row).breaks || [];
}

/** The rows of the same expression of other models. */
function othersOf(row) {
  const same = (other) =>
    other !== row &&
    columns.sent_id[other] === columns.sent_id[row] &&
    valueOf("data", other) === valueOf("data", row);
  return Array.from(columns.sent_id.keys()).filter(same);
}

/** The names of two rows' models. */
function bothOf(row, other) {
  return worded("%(first)s and %(second)s", { first: valueOf("model", row), second: valueOf("model", other) });
}

/** A ring at each gap, a square where something is lost. */
function drawBreaks(row, breaks) {
  const [height, width] = [columns.height[row], columns.width[row]];
  const name = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(name, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("aria-hidden", "true");
  const size = Math.max(height, width) / 60;
  for (const [y, x, gap] of breaks) {
    for (const under of [true, false]) {
      const mark = document.createElementNS(name, gap ? "circle" : "rect");
      const places = gap
        ? { cx: x + 0.5, cy: y + 0.5, r: size }
        : { x: x + 0.5 - size, y: y + 0.5 - size, width: 2 * size, height: 2 * size };
      for (const [key, value] of Object.entries(places)) mark.setAttribute(key, value);
      mark.setAttribute("stroke-width", size / (under ? 2 : 5));
      if (under) mark.setAttribute("class", "under");
      drawing.append(mark);
    }
  }
  return drawing;
}

/** One case in a dialog: its image with what is drawn over it, what the model said, and its scores. */
class Viewer {
  constructor() {
    this.dialog = document.getElementById("viewer");
    this.looks = document.getElementById("looks");
    this.order = [];
    this.sequence = new Sequence((frames, place) => this.open(frames, place));
    const button = (name) => this.dialog.querySelector(`button[name=${name}]`);
    button("close").addEventListener("click", () => this.dialog.close());
    button("previous").addEventListener("click", () => this.step(-1));
    button("next").addEventListener("click", () => this.step(1));
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.dialog.addEventListener("close", () => {
      history.replaceState(null, "", "#");
      this.sequence.pause();
      this.closed?.(this.place);
    });
    this.looks.addEventListener("submit", (event) => event.preventDefault());
    this.looks.addEventListener("input", (event) => {
      if (["opacity", "brightness", "zoom"].includes(event.target.name)) this.adjust();
      else this.draw();
    });
  }

  /** Show the case at a place of `order`, a list of rows. */
  open(order, place) {
    this.order = order;
    this.place = place;
    if (!this.dialog.open) this.dialog.showModal();
    this.show();
  }

  step(by) {
    const place = this.place + by;
    if (place < 0 || place >= this.order.length) return;
    this.place = place;
    this.show();
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in steps) || event.target.closest("input, select, .window, .scroll")) return;
    event.preventDefault();
    this.step(steps[event.key]);
  }

  show() {
    const row = this.order[this.place];
    history.replaceState(null, "", `#case=${nameOf(row)}`);
    document.getElementById("permalink").href = `#case=${nameOf(row)}`;
    document.getElementById("position").textContent = worded("%(n)s of %(all)s", {
      n: this.place + 1,
      all: this.order.length,
    });
    this.setUsable("previous", this.place > 0);
    this.setUsable("next", this.place < this.order.length - 1);
    const about = {
      phrase: shortened(valueOf("phrase", row)),
      image: valueOf("image_id", row),
      patient: valueOf("patient", row),
    };
    document.getElementById("case-title").textContent = about.patient
      ? worded("“%(phrase)s”, image %(image)s, patient %(patient)s", about)
      : worded("“%(phrase)s”, image %(image)s", about);
    this.fillOthers(row);
    this.draw();
  }

  /** A button that is of no use keeps the focus, or the arrow keys would lose it. */
  setUsable(name, usable) {
    const button = this.dialog.querySelector(`button[name=${name}]`);
    if (usable) button.removeAttribute("aria-disabled");
    else button.setAttribute("aria-disabled", "true");
  }

  /** The choice of another model stays from case to case, where that model has the next one too. */
  fillOthers(row) {
    const { other, way } = this.looks.elements;
    const before = other.value;
    const others = othersOf(row).map((each) => valueOf("model", each));
    other.replaceChildren(make("option", worded("no other model"), { value: "" }));
    for (const model of others) other.append(make("option", model, { value: model }));
    other.value = others.includes(before) ? before : "";
    other.disabled = others.length === 0;
    way.disabled = other.value === "";
  }

  draw() {
    const row = this.order[this.place];
    const { shown, other, way, breaks } = this.looks.elements;
    way.disabled = other.value === "";
    const second = othersOf(row).find((each) => valueOf("model", each) === other.value);
    const difference = second !== undefined && way.value === "difference";
    shown.disabled = difference;
    const rows = second === undefined ? [row] : [row, second];
    const comparable = shown.value === "image" || columns.truth[row] >= 0;
    const drawn = WAYS[difference ? "difference" : comparable ? shown.value : "prediction"];
    const panels = difference
      ? [this.panel(row, drawn, bothOf(row, second), second)]
      : rows.map((each) => this.panel(each, drawn, valueOf("model", each)));
    document.getElementById("content").style.setProperty("--shape", columns.width[row] / columns.height[row]);
    document.getElementById("panels").replaceChildren(...panels);
    const marked = !difference && rows.some((each) => breaksOf(each).length > 0);
    this.drawLegend(drawn.legend, row, breaks.checked && marked);
    this.drawSaid(rows);
    this.drawScores(rows);
    this.sequence.draw(row);
    this.adjust();
  }

  panel(row, way, title, other) {
    const masks = {
      truth: maskOf("truth", row),
      prediction: maskOf("prediction", row),
      ignored: maskOf("ignored", row),
      other: other === undefined ? null : maskOf("prediction", other),
    };
    const stage = make("div", undefined, { class: "stage" });
    // Decoded before it is shown, so that a run plays without flashes.
    const about = { alt: worded("Image %(name)s", { name: valueOf("image_id", row) }), decoding: "sync" };
    const picture = { src: table.pictures[columns.picture[row]], ...about };
    const canvas = make("canvas", undefined, { role: "img", "aria-label": worded("Masks of %(title)s", { title }) });
    stage.append(make("img", undefined, picture), canvas);
    drawKinds(canvas, columns.height[row], columns.width[row], way.kindOf(masks));
    if (this.looks.elements.breaks.checked && other === undefined) stage.append(drawBreaks(row, breaksOf(row)));
    const view = { class: "window", tabindex: 0, role: "region", "aria-label": worded("Image, %(title)s", { title }) };
    const frame = make("div", undefined, view);
    frame.append(stage);
    const figure = make("figure");
    const score = other === undefined && "dice" in table.scores;
    const named = { model: title, score: table.scores.dice, value: shownNumber(columns.dice?.[row] ?? null) };
    figure.append(make("figcaption", score ? worded("%(model)s: %(score)s %(value)s", named) : title), frame);
    return figure;
  }

  adjust() {
    const { opacity, brightness, zoom } = this.looks.elements;
    for (const stage of this.dialog.querySelectorAll(".stage")) {
      stage.style.width = `${100 * zoom.value}%`;
      stage.querySelector("canvas").style.opacity = opacity.value / 100;
      stage.querySelector("img").style.filter = `brightness(${brightness.value}%)`;
    }
  }

  drawLegend(kinds, row, withBreaks) {
    const shown = Object.entries(kinds).filter(([kind]) => kind !== "ignored" || columns.ignored[row] >= 0);
    const entries = shown.map(([kind, text]) => {
      const entry = make("li");
      const patch = make("span");
      patch.style.background = `rgb(${COLOURS[kind].join(" ")})`;
      entry.append(patch, text);
      return entry;
    });
    if (withBreaks) entries.push(make("li", worded("○ gap in the predicted tree")), make("li", worded("□ lost vessel")));
    document.getElementById("legend").replaceChildren(...entries);
  }

  /** Status, answer, error and breaks of each model. */
  drawSaid(rows) {
    const phrase = valueOf("phrase", rows[0]);
    const lines = rows.map((row) => {
      const { answer, error, breaks } = chunked("details", row);
      const lost = breaksOf(row).reduce((sum, each) => sum + each[3], 0).toFixed(0);
      const told = [
        worded("%(model)s: status %(status)s", { model: valueOf("model", row), status: valueOf("status", row) }),
        answer && worded("answer “%(answer)s”", { answer }),
        error && worded("error “%(error)s”", { error }),
        breaks && worded("breaks: %(n)s (%(lost)s px of vessel lost behind them)", { n: breaks.length, lost }),
      ];
      return make("p", told.filter(Boolean).join(worded("; ")));
    });
    if (shortened(phrase) !== phrase) lines.unshift(make("p", worded("Phrase: “%(phrase)s”", { phrase })));
    document.getElementById("said").replaceChildren(...lines);
  }

  drawScores(rows) {
    const head = make("tr");
    head.append(make("th", worded("Score"), { scope: "col" }));
    for (const row of rows) head.append(make("th", valueOf("model", row), { scope: "col", class: "number" }));
    const lines = Object.entries(table.scores).map(([name, title]) => {
      const line = make("tr");
      line.append(make("th", title, { scope: "row" }));
      for (const row of rows) line.append(make("td", shownNumber(columns[name][row]), { class: "number" }));
      return line;
    });
    const [thead, tbody] = [make("thead"), make("tbody")];
    thead.append(head);
    tbody.append(...lines);
    document.getElementById("scores").replaceChildren(thead, tbody);
  }
}
