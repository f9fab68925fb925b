const ROW_HEIGHT = 36; // pixels, as in the style sheet
const SPARE_ROWS = 8; // drawn above and below what is seen
const LONGEST_NAME = 160; // characters

/** The text of a JSON element. */
function block(name) {
  return JSON.parse(document.getElementById(name).textContent);
}

/** An element with text and attributes; never markup. */
function make(tag, text, attributes) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  return element;
}

const table = block("table");
const columns = table.columns;

/** A column's value of a row, as a person reads it. */
function valueOf(name, row) {
  if (name === "model") return table.evaluations[columns.evaluation[row]].model;
  if (name === "data") {
    const evaluation = table.evaluations[columns.evaluation[row]];
    return `${evaluation.dataset} \u00b7 ${evaluation.split}`;
  }
  return name in table.texts ? table.texts[name][columns[`${name}_place`][row]] : columns[name][row];
}

/** A text of which the beginning is enough where it names something. */
function shortened(text) {
  const characters = Array.from(text); // halves of a pair are none
  if (characters.length <= LONGEST_NAME) return text;
  return `${characters.slice(0, LONGEST_NAME - 1).join("")}\u2026`;
}

/** A score with three decimals, a dash for what is undefined. */
function shownNumber(value) {
  return value === null ? "\u2013" : value.toFixed(3);
}

/** Up or down by a column; what is undefined comes last either way. */
function compareBy(name, down) {
  return (one, two) => {
    const first = valueOf(name, one);
    const second = valueOf(name, two);
    if (first === second) return one - two;
    if (first === null) return 1;
    if (second === null) return -1;
    return first < second === down ? 1 : -1;
  };
}

/** The rows that filters let through, in order; only those in sight are drawn. */
class CasesTable {
  constructor(open) {
    this.open = open;
    this.form = document.getElementById("filters");
    this.scroller = document.getElementById("scroller");
    this.body = document.querySelector("#list tbody");
    this.sort = { name: null, down: false };
    this.current = 0;
    this.fillChoices();
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => this.filter()));
    this.scroller.addEventListener("scroll", () => this.draw());
    this.scroller.addEventListener("keydown", (event) => this.walk(event));
    addEventListener("resize", () => this.draw());
    addEventListener("beforeprint", () => this.drawRows(0, this.rows.length));
    addEventListener("afterprint", () => this.draw());
    this.filter();
  }

  fillChoices() {
    const choices = {
      model: new Set(table.evaluations.map((each) => each.model)),
      data: new Set(table.evaluations.map((each) => `${each.dataset} \u00b7 ${each.split}`)),
      status: new Set(table.texts.status),
    };
    for (const [name, values] of Object.entries(choices)) {
      for (const value of values) this.form.elements[name].append(make("option", value, { value }));
    }
    for (const [name, title] of Object.entries(table.scores)) {
      this.form.elements.score.append(make("option", title, { value: name }));
    }
    if ("dice" in table.scores) this.form.elements.score.value = "dice";
    const asked = new URLSearchParams(location.hash.slice(1)).get("evaluation");
    const evaluation = table.evaluations.find((each) => each.name === asked);
    if (evaluation) {
      this.form.elements.model.value = evaluation.model;
      this.form.elements.data.value = `${evaluation.dataset} \u00b7 ${evaluation.split}`;
    }
  }

  /** Headings by the names of columns: what a case is, some scores, and the score that is filtered by. */
  headings() {
    const shown = ["dice", "cldice", "hd95", this.form.elements.score.value];
    const scores = shown.filter((name) => name in table.scores).map((name) => [name, table.scores[name]]);
    const described = {
      image_id: worded("Image"),
      patient: worded("Patient"),
      phrase: worded("Phrase"),
      status: worded("Status"),
      model: worded("Model"),
      data: worded("Data"),
    };
    return { ...described, ...Object.fromEntries(scores) };
  }

  filter() {
    const given = Object.fromEntries(new FormData(this.form));
    const numbers = (text) => (text === "" ? null : Number(text));
    const [least, most] = [numbers(given.least), numbers(given.most)];
    const contains = ["phrase", "patient"].map((name) => {
      const asked = given[name].toLowerCase();
      return [columns[`${name}_place`], table.texts[name].map((text) => text.toLowerCase().includes(asked))];
    });
    const equals = ["model", "data", "status"].filter((name) => given[name] !== "");
    const score = columns[given.score];
    this.rows = [];
    for (let row = 0; row < columns.sent_id.length; row++) {
      if (contains.some(([places, passes]) => !passes[places[row]])) continue;
      if (equals.some((name) => valueOf(name, row) !== given[name])) continue;
      if ((least !== null || most !== null) && score[row] === null) continue;
      if ((least !== null && score[row] < least) || (most !== null && score[row] > most)) continue;
      this.rows.push(row);
    }
    this.arrange();
  }

  arrange() {
    const headings = this.headings();
    const { name, down } = this.sort;
    if (name in headings) this.rows.sort(compareBy(name, down));
    this.current = 0;
    this.drawHeadings(headings);
    const all = columns.sent_id.length;
    const counts = { n: this.rows.length, all };
    document.getElementById("count").textContent = worded("%(n)s of %(all)s cases", counts);
    this.scroller.scrollTop = 0;
    this.draw();
  }

  drawHeadings(headings) {
    const head = document.querySelector("#list thead tr");
    const focused = document.activeElement?.dataset?.column;
    head.replaceChildren();
    for (const [name, title] of Object.entries(headings)) {
      const sorted = this.sort.name === name;
      const cell = make("th", undefined, { scope: "col", class: name in table.scores ? "number" : "" });
      if (sorted) cell.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      const arrow = sorted ? (this.sort.down ? " \u2193" : " \u2191") : "";
      const button = make("button", title + arrow, { type: "button", "data-column": name });
      button.addEventListener("click", () => {
        this.sort = { name, down: sorted && !this.sort.down };
        this.arrange();
      });
      cell.append(button);
      head.append(cell);
      if (name === focused) button.focus();
    }
    document.getElementById("list").setAttribute("aria-rowcount", this.rows.length + 1);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const seen = Math.ceil(this.scroller.clientHeight / ROW_HEIGHT) + 2 * SPARE_ROWS;
    this.drawRows(first, Math.min(this.rows.length, first + seen));
  }

  drawRows(first, last) {
    const names = Object.keys(this.headings());
    const inside = this.body.contains(document.activeElement);
    const drawn = [this.space(first, names.length)];
    for (let place = first; place < last; place++) drawn.push(this.row(place, names));
    drawn.push(this.space(this.rows.length - last, names.length));
    this.body.replaceChildren(...drawn);
    if (inside) (this.buttonAt(this.current) || this.scroller).focus({ preventScroll: true });
  }

  space(rows, width) {
    const row = make("tr", undefined, { class: "space", "aria-hidden": "true" });
    const cell = make("td", undefined, { colspan: width });
    cell.style.height = `${rows * ROW_HEIGHT}px`;
    row.append(cell);
    return row;
  }

  row(place, names) {
    const row = this.rows[place];
    const element = make("tr", undefined, { "aria-rowindex": place + 2 });
    for (const name of names) {
      const value = valueOf(name, row);
      if (name === "image_id") {
        const tab = place === this.current ? 0 : -1;
        const button = make("button", value, { type: "button", "data-place": place, tabindex: tab, title: value });
        button.addEventListener("click", () => {
          this.current = place;
          this.open(place);
        });
        const cell = make("td");
        cell.append(button);
        element.append(cell);
      } else if (name in table.scores) {
        element.append(make("td", shownNumber(value), { class: "number" }));
      } else {
        element.append(make("td", typeof value === "string" ? shortened(value) : value, { title: value }));
      }
    }
    return element;
  }

  buttonAt(place) {
    return this.body.querySelector(`button[data-place="${place}"]`);
  }

  walk(event) {
    const page = Math.floor(this.scroller.clientHeight / ROW_HEIGHT) - 2;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || this.rows.length === 0 || event.target.dataset.column) return;
    event.preventDefault();
    const from = event.target === this.scroller && event.key === "ArrowDown" ? -1 : this.current;
    this.goTo(Math.min(this.rows.length - 1, Math.max(0, from + steps[event.key])));
  }

  /** Bring a row into sight and the focus to it. */
  goTo(place) {
    this.current = place;
    const top = place * ROW_HEIGHT;
    const height = this.scroller.clientHeight - 2 * ROW_HEIGHT;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    if (top > this.scroller.scrollTop + height) this.scroller.scrollTop = top - height;
    this.draw();
    this.buttonAt(place)?.focus({ preventScroll: true });
  }
}
