// Puts the page together.

import { find, showError } from "./dom.js";
import { Inspect } from "./inspect.js";
import { Live } from "./live.js";
import { MediaCard } from "./media.js";
import { Renders } from "./renders.js";
import { begin, endWithPage, listen } from "./server.js";
import { Settings } from "./settings.js";
import { Strip } from "./strip.js";

async function start() {
  const introduction = await begin();
  endWithPage();
  find("#version").textContent = `talkhead ${introduction.version}`;
  const settings = new Settings(find("#settings form"), introduction);
  const cards = ["portrait", "driving"].map(
    (role) => new MediaCard(find(`#${role}`), settings, introduction.examples[role]),
  );
  const isReady = () => cards.every((card) => card.facts);
  new Strip(settings, isReady);
  const renders = new Renders(settings);
  const inspect = new Inspect(settings);
  const live = new Live(settings);

  find("#settings > details").open = !matchMedia("(max-width: 760px)").matches;
  find("#settings-reset").addEventListener("click", (event) => {
    event.preventDefault(); // it stands in the line that folds the settings
    settings.reset();
  });
  const button = find("#render");
  const tell = () => showReady(isReady(), settings.values);
  for (const card of cards) card.addEventListener("taken", tell);
  settings.addEventListener("change", tell);
  button.addEventListener("click", async () => {
    showError(find("#strip-error"), null);
    try {
      await renders.add(cards[1].facts.file);
    } catch (error) {
      showError(find("#strip-error"), error);
    }
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const tab of tabs) tab.addEventListener("click", () => open(tab, tabs, live));
  const hear = {
    ready: ({ family, device }) => {
      find("#engine").textContent = `${family} on ${device}`;
      find("#engine").classList.add("ready");
      settings.check();
    },
    render: (event) => renders.hear(event),
    inspect: (event) => inspect.hear(event),
  };
  listen(
    (event) => hear[event.type](event),
    (lost) => showError(find("#banner"), lost ? "The connection to the studio is lost; was it stopped? Start it again and reload this page." : null),
  );
}

function showReady(ready, { start, end, frames, sound }) {
  find("#render").disabled = !ready;
  const part = start || end !== null || frames !== null ? "The chosen part of the video" : "The whole video";
  const told = `${part}, ${sound ? "with its sound" : "silent"}.`;
  find("#render-hint").textContent = ready ? told : "Choose a portrait and a driving video.";
}

function open(chosen, tabs, live) {
  for (const tab of tabs) {
    const selected = tab === chosen;
    tab.setAttribute("aria-selected", selected);
    find(`#${tab.getAttribute("aria-controls")}`).hidden = !selected;
  }
  if (chosen.id !== "tab-live" && live.stream) live.stop();
}

start().catch((error) => showError(find("#banner"), error));
