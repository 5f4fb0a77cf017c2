// A card for the portrait or the driving video: drop, choose, take with the camera, an example.

import { openCamera } from "./camera.js";
import { element, showError, showWarnings } from "./dom.js";
import { Overlay } from "./overlay.js";
import { fileUrl, post, put } from "./server.js";

// The settings that belong to each card, and those after which its faces are looked for again.
const OWN = {
  portrait: { crop: "crop_source", face: "face", anew: ["detector"] },
  driving: { crop: "crop_driving", face: "driving_face", anew: ["detector", "start", "end"] },
};

export class MediaCard extends EventTarget {
  constructor(box, settings, examples) {
    super();
    this.box = box;
    this.role = box.dataset.role;
    this.own = OWN[this.role];
    this.settings = settings;
    this.facts = null;
    this.name = element("small");
    this.well = element("div", { class: "well" }, box.dataset.hint);
    this.faces = element("div", { class: "row" });
    this.error = element("p", { class: "error", role: "alert", hidden: true });
    this.warnings = element("div", { class: "warnings", role: "status", hidden: true });
    this.state = element("p", { class: "hint", role: "status", hidden: true });
    this.bar = element("progress", { max: 1, hidden: true, "aria-label": "Upload" });
    const picker = element("input", { type: "file", accept: box.dataset.accept, hidden: true });
    picker.addEventListener("change", () => {
      if (picker.files[0]) this.upload(picker.files[0], picker.files[0].name);
      picker.value = "";
    });
    const choose = element("button", { class: "small", onclick: () => picker.click() }, "Choose a file");
    const camera = element("button", { class: "small", onclick: () => this.useCamera() }, "Camera");
    const chips = examples.map((name) =>
      element("button", { class: "small", onclick: () => this.take((signal) => post(`examples/${this.role}`, { name }, signal)) }, name),
    );
    const title = element("h2", {}, box.dataset.title, this.name);
    const row = element("div", { class: "row" }, choose, camera, picker);
    const more = element("div", { class: "row" }, element("span", { class: "hint" }, "Examples"), ...chips);
    box.classList.add("empty");
    box.append(title, this.well, this.bar, this.state, this.faces, this.error, this.warnings, row, more);
    this.well.addEventListener("click", () => !this.facts && picker.click());
    this.acceptDrops();
    settings.addEventListener("change", (event) => this.follow(event.detail));
  }

  acceptDrops() {
    const over = (on) => (event) => {
      event.preventDefault();
      this.box.classList.toggle("over", on);
    };
    this.box.addEventListener("dragover", over(true));
    this.box.addEventListener("dragleave", over(false));
    this.box.addEventListener("drop", (event) => {
      over(false)(event);
      const file = event.dataTransfer.files[0];
      if (file) this.upload(file, file.name);
    });
  }

  async useCamera() {
    const taken = await openCamera(this.role === "portrait" ? "photo" : "video");
    if (taken) await this.upload(taken.blob, taken.name);
  }

  upload(blob, name) {
    const path = `media/${this.role}?name=${encodeURIComponent(name)}`;
    const sent = (share) => {
      this.bar.hidden = share >= 1;
      this.bar.value = share;
      this.tell(share < 1 ? `Uploading ${name}: ${Math.floor(100 * share)} %` : "Looking for faces …");
    };
    return this.take((signal) => put(path, blob, sent, signal));
  }

  // Take what `ask` brings, a new file; what was there before stays where it fails. The newest
  // choice counts: one that is still under way is given up.
  async take(ask) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.box.classList.add("busy");
    this.tell("Looking for faces …");
    showError(this.error, null);
    try {
      const facts = await ask(asking.signal);
      if (asking.signal.aborted) return;
      this.facts = facts;
      const { crop, face } = this.own;
      this.show();
      this.settings.set({ [crop]: "auto", [face]: null });
      const { values, defaults } = this.settings;
      await this.follow(this.own.anew.filter((name) => values[name] !== defaults[name]));
      this.dispatchEvent(new Event("taken"));
    } catch (error) {
      if (!asking.signal.aborted) showError(this.error, error);
    } finally {
      if (asking === this.asking) {
        this.box.classList.remove("busy");
        this.bar.hidden = true;
        this.tell("");
      }
    }
  }

  // What is being done; in place of what is known of the faces before.
  tell(text) {
    this.state.textContent = text;
    this.state.hidden = !text;
    this.faces.hidden = Boolean(text);
  }

  async follow(names) {
    if (!this.facts) return;
    if (this.own.anew.some((name) => names.includes(name))) {
      const { facts } = this;
      const asked = (this.looking = Symbol("the newest look"));
      const isOld = () => facts !== this.facts || asked !== this.looking;
      try {
        const found = await post(`faces/${this.role}`, { settings: this.settings.values });
        if (isOld()) return;
        Object.assign(facts, found);
        showError(this.error, null);
        this.show();
      } catch (error) {
        if (isOld()) return;
        showError(this.error, error);
      }
    }
    this.place();
  }

  show() {
    const { name, view, width, height, warnings } = this.facts;
    showWarnings(this.warnings, warnings);
    this.box.classList.remove("empty");
    this.name.textContent = `${name} · ${width}×${height}`;
    this.name.title = name;
    const { crop, face } = this.own;
    this.overlay = new Overlay(
      this.facts,
      (number) => this.settings.set({ [crop]: "auto", [face]: number === this.facts.chosen ? null : number }),
      (square) => this.settings.set({ [crop]: square.join(",") }),
    );
    const picture = element("img", { src: fileUrl(view), alt: `${this.box.dataset.title}: ${name}` });
    this.well.replaceChildren(element("div", { class: "frame" }, picture, this.overlay.svg));
    this.place();
  }

  // Show crop and face as the settings have them.
  place() {
    const { crops, chosen, faces, width, height } = this.facts;
    const { crop, face } = this.own;
    const text = this.settings.values[crop];
    const number = this.settings.values[face] ?? chosen;
    const side = Math.min(width, height);
    let square = crops[(number ?? 1) - 1] ?? crops[0];
    if (text === "none") square = [(width - side) / 2, (height - side) / 2, side];
    else if (text !== "auto") square = text.split(",").map(Number);
    const drawn = square.length >= 3 && square.every(Number.isFinite) ? square : crops[0];
    this.overlay.show(drawn, text === "auto" ? number : 0);
    this.faces.replaceChildren(...this.faceButtons(faces.length, text === "auto" ? number : 0));
    if (text !== "auto") {
      const reset = () => this.settings.set({ [crop]: "auto" });
      this.faces.append(element("button", { class: "link", onclick: reset }, "Crop by the face again"));
    }
  }

  faceButtons(count, taken) {
    if (count === 0) {
      const told = this.role === "portrait" ? "No face found: the centre is taken; drag the square to the face." : "No face found; drag the square to it.";
      return [element("span", { class: "hint" }, told)];
    }
    if (count === 1) return [element("span", { class: "hint" }, "One face found. Drag the square to change the crop.")];
    const { face, crop } = this.own;
    return Array.from({ length: count }, (_, index) =>
      element("button", {
        class: "small",
        "aria-pressed": String(index + 1 === taken),
        onclick: () => this.settings.set({ [crop]: "auto", [face]: index + 1 === this.facts.chosen ? null : index + 1 }),
      }, `Face ${index + 1}`),
    );
  }
}
