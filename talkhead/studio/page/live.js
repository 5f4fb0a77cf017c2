// The Live tab: camera pictures go to the server one at a time, results come back.

import { cameraStream } from "./camera.js";
import { element, find, showError, showWarnings } from "./dom.js";
import { socket } from "./server.js";

const LAST = 30; // pictures over which latency and rate are told

export class Live {
  constructor(settings) {
    this.settings = settings;
    this.camera = find("#live-camera");
    this.canvas = find("#live-result");
    this.figures = find("#live-figures");
    this.state = find("#live-state");
    this.button = find("#live-start");
    this.anew = find("#live-anew");
    this.button.addEventListener("click", () => (this.stream ? this.stop() : this.start()));
    this.anew.addEventListener("click", () => this.socket?.send("measure anew"));
  }

  async start() {
    showError(find("#live-error"), null);
    showWarnings(find("#live-warnings"), []);
    const asked = (this.asked = Symbol("the newest start"));
    this.button.disabled = true;
    try {
      const stream = await cameraStream(false, { width: 640, height: 480 });
      if (asked !== this.asked) {
        stream.getTracks().forEach((track) => track.stop()); // the tab was left meanwhile
        return;
      }
      this.stream = stream;
    } catch (error) {
      showError(find("#live-error"), error);
      return;
    } finally {
      this.button.disabled = false;
    }
    this.camera.srcObject = this.stream;
    await this.camera.play();
    this.button.textContent = "Stop";
    this.state.textContent = "Starting …";
    this.times = [];
    this.shot = element("canvas", { width: this.camera.videoWidth, height: this.camera.videoHeight });
    this.socket = socket("live");
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(JSON.stringify({ settings: this.settings.values }));
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.show(data));
    const mine = this.socket;
    mine.onclose = () => mine === this.socket && this.stop();
  }

  stop() {
    this.asked = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.socket?.close();
    this.socket = null;
    this.button.textContent = "Start the camera";
    this.anew.disabled = true;
    this.state.textContent = "Stopped.";
  }

  hear({ state, error, warnings }) {
    if (warnings) showWarnings(find("#live-warnings"), warnings);
    if (error) {
      showError(find("#live-error"), error);
      return;
    }
    this.anew.disabled = state !== "ready";
    this.state.textContent = state === "ready" ? "Motion is measured from the first picture; Measure anew takes the next." : "No face seen yet: come into the picture.";
    this.send();
  }

  async send() {
    this.shot.getContext("2d").drawImage(this.camera, 0, 0);
    this.sent = performance.now();
    const blob = await new Promise((resolve) => this.shot.toBlob(resolve, "image/jpeg", 0.85));
    this.socket?.send(await blob.arrayBuffer());
  }

  async show(data) {
    const work = new DataView(data).getFloat32(0, true);
    const picture = await createImageBitmap(new Blob([data.slice(4)], { type: "image/jpeg" }));
    if (!this.socket) return;
    Object.assign(this.canvas, { width: picture.width, height: picture.height });
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    const now = performance.now();
    this.times = [...this.times, { now, latency: now - this.sent, work }].slice(-LAST);
    this.tell();
    this.send();
  }

  tell() {
    const middle = (key) => this.times.map((time) => time[key]).sort((a, b) => a - b)[this.times.length >> 1];
    const span = (this.times.at(-1).now - this.times[0].now) / 1000;
    const rate = span ? `${((this.times.length - 1) / span).toFixed(1)} pictures per second · ` : "";
    this.figures.textContent = `${rate}latency ${middle("latency").toFixed(0)} ms, of which ${middle("work").toFixed(0)} ms drawing`;
  }
}
