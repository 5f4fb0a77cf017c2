// Result and driver side by side, played and scrubbed together.

import { clock, element } from "./dom.js";

const DRIFT = 0.06; // seconds that the driver may be off before it is put right

// result, driving: addresses; offset: the driver's time at which the result begins.
export function makePlayer(result, driving, offset) {
  const shown = element("video", { src: result, playsinline: true, preload: "auto" });
  const beside = element("video", { src: driving, playsinline: true, preload: "auto" });
  beside.muted = true;
  const play = element("button", { class: "small", "aria-label": "Play or pause" }, "Play");
  const seek = element("input", { type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": "Time" });
  const time = element("time", {}, "0:00");
  const figure = element("figure", {}, beside, element("figcaption", {}, "driver"));
  const pair = element("div", { class: "pair" }, figure, element("figure", {}, shown, element("figcaption", {}, "result")));

  const follow = () => {
    const wanted = shown.currentTime + offset;
    if (Math.abs(beside.currentTime - wanted) > DRIFT) beside.currentTime = wanted;
  };
  const tell = () => {
    seek.value = shown.currentTime;
    time.textContent = `${clock(shown.currentTime)} / ${clock(shown.duration || 0)}`;
  };
  play.addEventListener("click", () => (shown.paused ? shown.play() : shown.pause()));
  seek.addEventListener("input", () => {
    shown.currentTime = Number(seek.value);
    beside.currentTime = shown.currentTime + offset;
  });
  shown.addEventListener("loadedmetadata", () => {
    seek.max = shown.duration;
    tell();
    follow();
  });
  shown.addEventListener("timeupdate", () => {
    tell();
    follow();
  });
  shown.addEventListener("play", () => {
    play.textContent = "Pause";
    follow();
    beside.play().catch(() => {}); // a driver that cannot be played is told of by its own error
  });
  for (const event of ["pause", "ended"]) {
    shown.addEventListener(event, () => {
      play.textContent = "Play";
      beside.pause();
    });
  }
  beside.addEventListener("error", () => {
    figure.remove();
    pair.classList.add("one");
    pair.after(element("p", { class: "quiet" }, "This browser cannot play the driver's format; the layout side-by-side shows it in the result."));
  });
  return [pair, element("div", { class: "transport" }, play, seek, time)];
}
