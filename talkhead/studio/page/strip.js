// The preview: six frames across the video, drawn anew when settings change.

import { clock, element, find, showError, showWarnings } from "./dom.js";
import { lines } from "./server.js";

const COUNT = 6;
const PAUSE = 250; // milliseconds without a change, after which it is drawn

export class Strip {
  constructor(settings, isReady) {
    this.settings = settings;
    this.isReady = isReady;
    this.place = find("#strip");
    this.note = find("#strip-note");
    this.error = find("#strip-error");
    this.cells = Array.from({ length: COUNT }, () => {
      const picture = element("img", { alt: "", hidden: true });
      const time = element("figcaption", {}, "–");
      const box = element("figure", {}, element("div", { class: "cell" }, picture), time);
      return { box, picture, time };
    });
    this.place.append(...this.cells.map((cell) => cell.box));
    settings.addEventListener("change", () => this.update());
  }

  update() {
    clearTimeout(this.timer);
    this.abort?.abort();
    if (this.isReady()) this.timer = setTimeout(() => this.draw(), PAUSE);
  }

  async draw() {
    const began = performance.now();
    const abort = (this.abort = new AbortController());
    showError(this.error, null);
    showWarnings(find("#strip-warnings"), []);
    this.note.textContent = "drawing …";
    this.cells.forEach((cell) => cell.box.classList.add("waiting"));
    let count = 0;
    const warnings = [];
    try {
      for await (const frame of lines("strip", { settings: this.settings.values }, abort.signal)) {
        if (frame.warning) {
          warnings.push(frame.warning);
          continue;
        }
        this.show(this.cells[count], frame);
        count += 1;
      }
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const about = this.settings.values.smooth ? "; smoothing shows in motion only" : "";
      this.note.textContent = `${count} frames in ${seconds} s${about}`;
      this.place.dataset.seconds = seconds;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.note.textContent = "";
      showError(this.error, error);
    }
    const told = [...document.querySelectorAll(".media .warnings p")].map((line) => line.textContent);
    showWarnings(find("#strip-warnings"), warnings.filter((text) => !told.includes(text)));
    this.cells.forEach((cell, index) => {
      cell.box.classList.remove("waiting");
      cell.box.hidden = index >= Math.max(count, 1);
    });
  }

  show(cell, { jpeg, seconds }) {
    cell.picture.src = `data:image/jpeg;base64,${jpeg}`;
    cell.picture.hidden = false;
    cell.picture.alt = `Result at ${seconds.toFixed(2)} s`;
    cell.time.textContent = seconds < 60 ? `${seconds.toFixed(2)} s` : clock(seconds);
    cell.box.hidden = false;
    cell.box.classList.remove("waiting");
    cell.picture.onload = () => {
      this.place.classList.toggle("wide", cell.picture.naturalWidth > 2 * cell.picture.naturalHeight);
    };
  }
}
