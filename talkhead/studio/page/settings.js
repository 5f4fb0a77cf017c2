// The form of all settings, made from what the server says about them.

import { element } from "./dom.js";
import { post } from "./server.js";

const SUGGESTIONS = { anchor: ["auto", "first"], crop_source: ["auto", "none"], crop_driving: ["auto", "none"] };
// What stands in an empty field.
const EMPTY = { start: "from the beginning", end: "to the end", frames: "all", face: "the largest", driving_face: "the largest" };
const SEGMENTS = 4; // choices up to which all are shown at once

export class Settings extends EventTarget {
  constructor(form, { controls, defaults }) {
    super();
    this.defaults = defaults;
    this.values = { ...defaults };
    this.controls = controls;
    this.parts = new Map();
    this.titles = new Map(controls.map((control) => [control.flag, titleOf(control)]));
    const more = element("div", { class: "controls" });
    for (const control of controls) {
      const part = this.build(control);
      this.parts.set(control.name, part);
      (control.advanced ? more : form).append(part.box);
    }
    form.append(element("details", {}, element("summary", {}, "More"), more));
    form.addEventListener("submit", (event) => event.preventDefault());
    this.show();
  }

  // Change settings from anywhere on the page.
  set(changes) {
    this.values = { ...this.values, ...changes };
    this.show();
    this.changed(Object.keys(changes));
  }

  reset() {
    this.set(this.defaults);
  }

  changed(names) {
    this.dispatchEvent(new CustomEvent("change", { detail: names }));
    this.check();
  }

  // Ask what cannot be chosen now.
  async check() {
    const asked = (this.asked = Symbol());
    let impossible = {};
    try {
      ({ impossible } = await post("check", { settings: this.values }));
    } catch {
      return; // settings that contradict themselves are told of beside the preview
    }
    if (asked === this.asked) {
      for (const { name } of this.controls) this.parts.get(name).refuse(impossible[name] ?? {});
    }
  }

  show() {
    for (const { name } of this.controls) this.parts.get(name).show(this.values[name]);
  }

  build(control) {
    const title = titleOf(control);
    const told = this.named(control.help);
    const help = element("p", { class: "hint" }, told);
    const change = (value) => this.set({ [control.name]: value });
    const make = {
      switch: makeSwitch,
      choice: control.choices.length > SEGMENTS ? makeSelect : makeSegments,
      text: makeText,
      "whole or word": makeText,
      whole: makeNumber,
      number: control.maximum === null ? makeNumber : makeRange,
    }[control.kind];
    const part = make(control, title, help, change);
    const refuse = part.refuse;
    part.refuse = (reasons) => {
      refuse(reasons);
      const why = reasons["*"] ?? reasons.true ?? reasons.false; // of the whole setting
      help.textContent = why ? this.named(why) : told;
      help.classList.toggle("why", Boolean(why));
    };
    part.box.dataset.setting = control.name;
    return part;
  }

  // Settings as this page calls them: `--max-side` -> Max side.
  named(text) {
    return text.replace(/--[a-z-]+/g, (flag) => this.titles.get(flag) ?? flag);
  }
}

const titleOf = ({ name }) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

const emptyOf = ({ name, optional }) => (optional ? EMPTY[name] ?? "automatic" : null);

function makeSwitch(control, title, help, change) {
  const input = element("input", { type: "checkbox", id: `set-${control.name}` });
  input.addEventListener("change", () => change(input.checked));
  const name = element("label", { class: "name", for: input.id }, title);
  return {
    box: element("div", { class: "control switch" }, name, input, help),
    show: (value) => (input.checked = value),
    refuse: (reasons) => (input.disabled = Boolean(reasons.true ?? reasons.false)),
  };
}

function makeSegments(control, title, help, change) {
  const inputs = new Map();
  const group = element("div", { class: "choices" });
  for (const value of control.choices) {
    const input = element("input", { type: "radio", name: control.name, value });
    input.addEventListener("change", () => change(value));
    inputs.set(value, input);
    group.append(element("label", {}, input, value.replaceAll("-", " ")));
  }
  const name = element("legend", { class: "name" }, title);
  return {
    box: element("fieldset", { class: "control" }, name, group, help),
    show: (value) => inputs.forEach((input, key) => (input.checked = key === value)),
    refuse: (reasons) =>
      inputs.forEach((input, key) => {
        input.disabled = key in reasons;
        input.parentElement.title = reasons[key] ?? "";
      }),
  };
}

function makeSelect(control, title, help, change) {
  const input = element("select", { id: `set-${control.name}` });
  for (const value of control.choices) input.append(element("option", { value }, value));
  input.addEventListener("change", () => change(input.value));
  return {
    box: labelled(title, input, help),
    show: (value) => (input.value = value),
    refuse: (reasons) => {
      for (const option of input.options) option.disabled = option.value in reasons;
    },
  };
}

function makeText(control, title, help, change) {
  const input = element("input", { type: "text", id: `set-${control.name}`, placeholder: emptyOf(control) });
  input.addEventListener("change", () => {
    const text = input.value.trim();
    change(text || (control.optional ? null : control.default));
  });
  const box = labelled(title, input, help);
  if (SUGGESTIONS[control.name]) {
    const list = element("datalist", { id: `of-${control.name}` });
    for (const value of SUGGESTIONS[control.name]) list.append(element("option", { value }));
    input.setAttribute("list", list.id);
    box.append(list);
  }
  return {
    box,
    show: (value) => (input.value = value ?? ""),
    refuse: (reasons) => (input.disabled = Boolean(reasons["*"])),
  };
}

function makeNumber(control, title, help, change) {
  const step = control.kind === "whole" ? 1 : "any";
  const { minimum: min, maximum: max } = control;
  const input = element("input", { type: "number", id: `set-${control.name}`, min, max, step, placeholder: emptyOf(control) });
  input.addEventListener("change", () => {
    const value = input.value === "" ? (control.optional ? null : control.default) : Number(input.value);
    change(control.kind === "whole" && value !== null ? Math.round(value) : value);
  });
  return {
    box: labelled(title, input, help),
    show: (value) => (input.value = value ?? ""),
    refuse: (reasons) => (input.disabled = Boolean(reasons["*"])),
  };
}

function makeRange(control, title, help, change) {
  const { minimum: min, maximum: max } = control;
  const input = element("input", { type: "range", id: `set-${control.name}`, min: min ?? 0, max, step: (max - (min ?? 0)) / 20 });
  const told = element("output", { for: input.id });
  input.addEventListener("input", () => (told.value = input.value));
  input.addEventListener("change", () => change(Number(input.value)));
  const box = labelled(title, input, help);
  box.firstChild.append(told);
  return {
    box,
    show: (value) => (told.value = input.value = value ?? control.default),
    refuse: (reasons) => (input.disabled = Boolean(reasons["*"])),
  };
}

function labelled(title, input, help) {
  const name = element("label", { class: "name", for: input.id }, title);
  return element("div", { class: "control" }, name, input, help);
}
