const PAUSE = 250; // milliseconds from frame to frame
const CURVE = { width: 600, height: 80 };

/** The rows of the run that a row is a frame of, in order; none where it is of no run. */
function framesOf(row) {
  const run = columns.run?.[row] ?? -1;
  if (run < 0) return [];
  const frames = Array.from(columns.run.keys()).filter((each) => columns.run[each] === run);
  return frames.sort((one, two) => columns.frame[one] - columns.frame[two]);
}

/** A run below its frame: a strip that leads to each, play and pause, and Dice over time. */
class Sequence {
  constructor(show) {
    this.show = show;
    this.section = document.getElementById("sequence");
    this.button = this.section.querySelector("button[name=play]");
    this.strip = document.getElementById("strip");
    this.button.addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    this.frames = [];
  }

  draw(row) {
    const frames = framesOf(row);
    this.section.hidden = frames.length === 0;
    if (frames.length === 0) this.pause();
    if (frames[0] !== this.frames[0]) this.fill(frames);
    this.at = frames.indexOf(row);
    for (const [place, button] of [...this.strip.children].entries()) {
      if (place === this.at) {
        button.setAttribute("aria-current", "true");
        this.strip.scrollLeft = button.offsetLeft - this.strip.clientWidth / 2;
      } else button.removeAttribute("aria-current");
    }
    this.drawCurve();
  }

  fill(frames) {
    this.frames = frames;
    const buttons = frames.map((row, place) => {
      const button = make("button", undefined, { type: "button", "aria-label": worded("Frame %(n)s", { n: place + 1 }) });
      const picture = table.pictures[columns.picture[row]];
      button.append(make("img", undefined, { src: picture, alt: "", loading: "lazy" }), `${place + 1}`);
      button.addEventListener("click", () => this.show(this.frames, place));
      return button;
    });
    this.strip.replaceChildren(...buttons);
  }

  play() {
    this.button.textContent = worded("Pause");
    this.timer = setInterval(() => this.show(this.frames, (this.at + 1) % this.frames.length), PAUSE);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = worded("Play");
  }

  /** Dice from 0 to 1 over the frames; gaps where it is undefined. */
  drawCurve() {
    const values = this.frames.map((row) => columns.dice?.[row] ?? null);
    const name = "http://www.w3.org/2000/svg";
    const drawing = document.getElementById("curve");
    const x = (place) => 5 + ((CURVE.width - 10) * place) / Math.max(1, values.length - 1);
    const y = (value) => CURVE.height - 5 - (CURVE.height - 10) * value;
    drawing.setAttribute("viewBox", `0 0 ${CURVE.width} ${CURVE.height}`);
    const path = document.createElementNS(name, "path");
    const steps = values.map((value, place) => {
      if (value === null) return "";
      return `${place === 0 || values[place - 1] === null ? "M" : "L"}${x(place)} ${y(value)}`;
    });
    path.setAttribute("d", steps.join(""));
    const parts = [path];
    if (this.at >= 0 && values[this.at] !== null) {
      const mark = document.createElementNS(name, "circle");
      const places = { cx: x(this.at), cy: y(values[this.at]), r: 5 };
      for (const [key, value] of Object.entries(places)) mark.setAttribute(key, value);
      parts.push(mark);
    }
    drawing.replaceChildren(...parts);
    const place = { n: this.at + 1, all: values.length, dice: shownNumber(values[this.at] ?? null) };
    const now = this.at >= 0 ? worded("frame %(n)s of %(all)s, Dice %(dice)s", place) : "";
    document.getElementById("moment").textContent = now;
  }
}
