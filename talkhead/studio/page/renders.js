// Renders: the queue with its progress, the newest result, the history of this session.

import { clock, element, find, showWarnings } from "./dom.js";
import { makePlayer } from "./player.js";
import { fileUrl, post, remove } from "./server.js";

const STAGES = { "reading motion": "Reading the driver's motion", rendering: "Rendering" };

export class Renders {
  constructor(settings) {
    this.settings = settings;
    this.jobs = new Map(); // number -> { box, driving }
    this.ended = new Set(); // their numbers; a new connection tells of them again
    addEventListener("beforeunload", (event) => this.jobs.size && event.preventDefault());
  }

  // driving: the name of the driver's file on the server.
  async add(driving) {
    const { number } = await post("renders", { settings: this.settings.values });
    this.jobs.set(number, { ...(this.jobs.get(number) ?? { box: this.makeBox(number) }), driving });
    if (this.jobs.get(number).ended) this.finish(this.jobs.get(number).ended);
  }

  makeBox(number) {
    const text = element("p", { role: "status" }, "Waiting …");
    const stop = element("button", { class: "small", onclick: () => this.stop(number, stop) }, "Cancel");
    const bar = element("progress");
    const warnings = element("div", { class: "warnings", role: "status", hidden: true });
    const box = element("article", { class: "card job" }, text, stop, bar, warnings);
    find("#queue").append(box);
    return Object.assign(box, { text, bar, warnings });
  }

  async stop(number, button) {
    button.disabled = true;
    button.textContent = "Cancelling …";
    await remove(`renders/${number}`);
  }

  hear(event) {
    if (this.ended.has(event.number)) return;
    const job = this.jobs.get(event.number) ?? { box: this.makeBox(event.number) };
    this.jobs.set(event.number, job);
    if (event.state === "waiting" || event.state === "working") this.progress(job.box, event);
    else if (job.driving) this.finish(event);
    else job.ended = event; // it ended before the answer to `add` came
  }

  progress({ text, bar, warnings }, event) {
    showWarnings(warnings, event.warnings);
    if (event.state === "waiting") {
      text.textContent = event.before ? `Waiting; ${event.before} before this one` : "Waiting …";
      return;
    }
    const parts = [STAGES[event.stage] ?? "Starting"];
    if (event.done) parts.push(event.total ? `frame ${event.done} of ${event.total}` : `frame ${event.done}`);
    if (event.rate) parts.push(`${event.rate.toFixed(1)} per second`);
    if (event.left !== null) parts.push(`${clock(event.left)} left`);
    text.textContent = parts.join(" · ");
    if (event.total) Object.assign(bar, { max: event.total, value: Math.min(event.done, event.total) });
    else bar.removeAttribute("value");
  }

  finish(event) {
    const { box, driving } = this.jobs.get(event.number);
    this.jobs.delete(event.number);
    this.ended.add(event.number);
    if (!event.file) {
      const text = event.state === "stopped" ? `Cancelled: ${event.error}` : event.error;
      const close = element("button", { class: "small", onclick: () => box.remove() }, "Close");
      box.replaceChildren(element("p", { class: "error", role: "alert" }, text), close);
      return;
    }
    box.remove();
    this.show(event, driving);
    this.remember(event, driving);
  }

  show(event, driving) {
    const place = find("#result");
    const file = fileUrl(event.file);
    const told = event.state === "stopped" ? `cancelled: the first ${event.done} frames` : `${event.done} frames`;
    const rate = event.rate ? `, ${event.rate.toFixed(1)} per second` : "";
    const code = element("code", {}, event.command);
    const copy = element("button", { class: "small", onclick: () => copyText(code, copy) }, "Copy");
    const warnings = element("div", { class: "warnings" });
    showWarnings(warnings, event.warnings);
    place.replaceChildren(
      element("h2", {}, "Result ", element("small", {}, `${event.name} · ${told}${rate}`)),
      ...makePlayer(file, fileUrl(driving), event.start),
      element("div", { class: "actions" },
        element("a", { class: "button", href: file, download: event.name }, "Download"),
        element("p", {}, "Synthetic media: the file says so in its metadata.")),
      warnings,
      element("div", { class: "command" }, code, copy),
    );
    if (event.state === "stopped") place.lastChild.replaceChildren(element("code", {}, "# cancelled: the whole video is made by"), code, copy);
    place.hidden = false;
  }

  remember(event, driving) {
    const told = event.state === "stopped" ? "cancelled, " : "";
    const show = element("button", { class: "small", onclick: () => this.show(event, driving) }, "Show");
    const again = element("button", { class: "small", onclick: () => this.settings.set(event.settings) }, "Use settings");
    const name = element("span", {}, `${event.number}. ${event.portrait} + ${event.driving} `, element("small", { class: "quiet" }, `${told}${event.done} frames`));
    find("#history ol").prepend(element("li", {}, name, show, again, element("a", { class: "button small", href: fileUrl(event.file), download: event.name }, "Download")));
    find("#history").hidden = false;
  }
}

async function copyText(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // the clipboard is lent to safe pages only
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
