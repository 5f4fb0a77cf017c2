// The Inspect tab: a sheet of figures for one driving frame.

import { find, showError, showWarnings } from "./dom.js";
import { fileUrl, post } from "./server.js";

export class Inspect {
  constructor(settings) {
    this.settings = settings;
    this.button = find("#inspect-draw");
    this.state = find("#inspect-state");
    this.button.addEventListener("click", () => this.draw());
  }

  async draw() {
    const asked = find("#inspect-frame").value;
    const frame = asked === "" ? null : Math.round(Number(asked));
    const sheet = find("#inspect-sheet");
    this.button.disabled = true;
    this.state.textContent = "looking …";
    showError(find("#inspect-error"), null);
    showWarnings(find("#inspect-warnings"), []);
    try {
      const report = await post("inspect", { settings: this.settings.values, frame });
      sheet.href = sheet.firstElementChild.src = fileUrl(report.file);
      sheet.hidden = false;
      showWarnings(find("#inspect-warnings"), report.warnings);
      this.state.textContent = `Driving frame ${report.frame}: ${report.figures.join(", ")}`;
    } catch (error) {
      this.state.textContent = "";
      showError(find("#inspect-error"), error);
    } finally {
      this.button.disabled = false;
    }
  }

  hear({ stage, done, total }) {
    if (this.button.disabled) this.state.textContent = `${stage} · frame ${done}${total ? ` of ${total}` : ""}`;
  }
}
