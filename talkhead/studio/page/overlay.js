// Faces and the crop over a picture: click a face, drag the crop or its corner.

import { vector } from "./dom.js";

const CLICK = 4; // screen pixels up to which a press is a click and not a drag
const SMALLEST = 16; // pixels of the picture, the least that the library takes

export class Overlay {
  // facts: width, height, faces [[x, y, width, height]], from the server.
  // onFace(number from 1), onCrop([x, y, side]): what the person chose.
  constructor(facts, onFace, onCrop) {
    this.facts = facts;
    this.onFace = onFace;
    this.onCrop = onCrop;
    this.svg = vector("svg", { viewBox: `0 0 ${facts.width} ${facts.height}` });
    this.outside = this.svg.appendChild(vector("path", { class: "outside" }));
    this.square = this.svg.appendChild(vector("rect", { class: "crop" }));
    this.faces = facts.faces.map(([x, y, width, height]) =>
      this.svg.appendChild(vector("rect", { class: "face", x, y, width, height, rx: width / 12 })),
    );
    this.handle = this.svg.appendChild(vector("circle", { class: "handle" }));
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
  }

  show(crop, face) {
    this.crop = crop;
    const [x, y, side, angle = 0] = crop;
    const { width, height } = this.facts;
    this.outside.setAttribute("d", `M0 0H${width}V${height}H0Z M${corners(crop).join(" L")}Z`);
    const turned = `rotate(${angle} ${x + side / 2} ${y + side / 2})`;
    place(this.square, { x, y, width: side, height: side, transform: turned });
    const right = Math.min(x + side, width);
    const bottom = Math.min(y + side, height);
    place(this.handle, { cx: right, cy: bottom, r: Math.max(width, height) / 45 });
    this.faces.forEach((box, number) => box.classList.toggle("taken", number + 1 === face));
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const scale = this.facts.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale, scale];
  }

  press(event) {
    event.preventDefault();
    const [fromX, fromY, scale] = this.point(event);
    const before = this.crop;
    const resizing = event.target === this.handle;
    let dragged = false;
    const move = (next) => {
      const [x, y] = this.point(next);
      dragged ||= Math.hypot(x - fromX, y - fromY) > CLICK * scale;
      if (!dragged) return;
      const crop = resizing
        ? [before[0], before[1], Math.max(SMALLEST, before[2] + Math.max(x - fromX, y - fromY))]
        : [before[0] + x - fromX, before[1] + y - fromY, before[2]];
      this.show(this.within(crop), 0);
    };
    const release = () => {
      this.svg.removeEventListener("pointermove", move);
      if (dragged) this.onCrop(this.crop.map(Math.round));
      else this.click(fromX, fromY);
    };
    this.svg.setPointerCapture(event.pointerId);
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerup", release, { once: true });
    this.svg.addEventListener("pointercancel", release, { once: true });
  }

  // Most of the crop stays on the picture.
  within([x, y, side]) {
    const { width, height } = this.facts;
    const largest = Math.min(side, 2 * Math.max(width, height));
    const limit = (start, length) => Math.min(Math.max(start, -largest / 2), length - largest / 2);
    return [limit(x, width), limit(y, height), largest];
  }

  click(x, y) {
    const hit = this.facts.faces.findIndex(
      ([left, top, width, height]) => x >= left && x <= left + width && y >= top && y <= top + height,
    );
    if (hit >= 0) this.onFace(hit + 1);
  }
}

// The corners of a crop that may be turned, by degrees clockwise about its centre.
function corners([x, y, side, angle = 0]) {
  const half = side / 2;
  const [c, s] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const signs = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
  return signs.map(([i, j]) => `${x + half + half * (i * c - j * s)} ${y + half + half * (i * s + j * c)}`);
}

function place(shape, attributes) {
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
}
