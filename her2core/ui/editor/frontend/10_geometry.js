// Where things lie: image pixels (x right, y down) and screen pixels of a canvas. Pure.

/** What of the image is shown: screen = image * scale + (x, y). */
class View {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, width: 1, height: 1, imageWidth: 1, imageHeight: 1 });
  }

  /** The canvas has this size; the middle of what was shown stays in the middle. */
  resize(width, height) {
    const [cx, cy] = this.toImage(this.width / 2, this.height / 2);
    const fitted = Math.abs(this.scale - this.fitScale()) < 1e-6;
    this.width = width;
    this.height = height;
    if (fitted) this.fit();
    else this.centre(cx, cy);
  }

  fitScale() {
    return Math.min(this.width / this.imageWidth, this.height / this.imageHeight);
  }

  fit() {
    this.scale = this.fitScale();
    this.centre(this.imageWidth / 2, this.imageHeight / 2);
  }

  centre(imageX, imageY) {
    this.x = this.width / 2 - imageX * this.scale;
    this.y = this.height / 2 - imageY * this.scale;
    this.keepInside();
  }

  /** Zoom by a factor; the image point under (screenX, screenY) stays where it is. */
  zoom(factor, screenX, screenY) {
    const least = Math.min(this.fitScale(), 1);
    const scale = Math.min(Math.max(this.scale * factor, least), 32);
    const by = scale / this.scale;
    this.x = screenX - (screenX - this.x) * by;
    this.y = screenY - (screenY - this.y) * by;
    this.scale = scale;
    this.keepInside();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.keepInside();
  }

  /** A side that is smaller than the canvas is centred; a larger one leaves no gap. */
  keepInside() {
    const inside = (at, image, room) =>
      image <= room ? (room - image) / 2 : Math.min(0, Math.max(room - image, at));
    this.x = inside(this.x, this.imageWidth * this.scale, this.width);
    this.y = inside(this.y, this.imageHeight * this.scale, this.height);
  }

  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  toImage(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** Whether a box is in sight, if only in part. */
  sees([x0, y0, x1, y1]) {
    const [left, top] = this.toScreen(x0, y0);
    const [right, bottom] = this.toScreen(x1, y1);
    return right > 0 && bottom > 0 && left < this.width && top < this.height;
  }
}

const holds = ([x0, y0, x1, y1], x, y) => x >= x0 && x < x1 && y >= y0 && y < y1;
const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

/** The nucleus under a point: of several the smallest, as it lies on top. Null where there is none. */
function nucleusAt(nuclei, x, y) {
  const under = nuclei.filter((n) => holds(n.box, x, y));
  return under.reduce((best, n) => (best === null || area(n.box) < area(best.box) ? n : best), null);
}

/** The signal of a nucleus nearest to a point within `reach` image pixels: {channel, x, y} or null. */
function signalAt(nucleus, x, y, reach, channel = null) {
  let best = null;
  for (const [name, sx, sy] of nucleus.signals) {
    const distance = Math.hypot(sx - x, sy - y);
    if (distance <= reach && (channel === null || channel === name) && (best === null || distance < best.distance))
      best = { channel: name, x: sx, y: sy, distance };
  }
  return best;
}

/** Which part of a box a point grips: "n", "se", …, "move" inside, null outside. `reach` in image pixels. */
function gripAt(box, x, y, reach) {
  const [x0, y0, x1, y1] = box;
  if (x < x0 - reach || x > x1 + reach || y < y0 - reach || y > y1 + reach) return null;
  const vertical = Math.abs(y - y0) <= reach ? "n" : Math.abs(y - y1) <= reach ? "s" : "";
  const horizontal = Math.abs(x - x0) <= reach ? "w" : Math.abs(x - x1) <= reach ? "e" : "";
  return vertical + horizontal || "move";
}

/** The box after its part `grip` was dragged by (dx, dy): never turned inside out, never out of the image. */
function draggedBox(box, grip, dx, dy, width, height) {
  let [x0, y0, x1, y1] = box;
  if (grip === "move") {
    dx = Math.min(Math.max(dx, -x0), width - x1);
    dy = Math.min(Math.max(dy, -y0), height - y1);
    return [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  }
  const least = 8;
  if (grip.includes("w")) x0 = Math.max(0, Math.min(x0 + dx, x1 - least));
  if (grip.includes("e")) x1 = Math.min(width, Math.max(x1 + dx, x0 + least));
  if (grip.includes("n")) y0 = Math.max(0, Math.min(y0 + dy, y1 - least));
  if (grip.includes("s")) y1 = Math.min(height, Math.max(y1 + dy, y0 + least));
  return [x0, y0, x1, y1];
}

/** The square round a box with a margin: [x, y, side]. */
function squareRound([x0, y0, x1, y1], margin = 0.22) {
  const side = Math.max(8, Math.max(x1 - x0, y1 - y0) * (1 + 2 * margin));
  return [(x0 + x1) / 2 - side / 2, (y0 + y1) / 2 - side / 2, side];
}

/** Ids of the nuclei in the order in which they are looked through. */
function ordered(nuclei, by) {
  const scored = (n) => (n.scored ? 0 : 1);
  const keys = {
    doubt: (n) => [-n.doubt, n.id],
    clustered: (n) => [n.clustered ? 0 : 1, scored(n), -n.doubt, n.id],
    edited: (n) => [n.edited ? 0 : 1, -n.doubt, n.id],
    left: (n) => [n.scored ? 1 : 0, n.id],
    id: (n) => [n.id],
  };
  const key = keys[by] ?? keys.id;
  const compare = (a, b) => {
    const [ka, kb] = [key(a), key(b)];
    const at = ka.findIndex((value, index) => value !== kb[index]);
    return at < 0 ? 0 : ka[at] - kb[at];
  };
  return [...nuclei].sort(compare).map((n) => n.id);
}

/** Ids of the scored nuclei that a box drawn since overlaps. */
const overlapped = (nuclei) => new Set(nuclei.filter((n) => n.covered).map((n) => n.id));

/** The order as it was, without those that went, with `first` before it and new ones behind: of the others nobody loses
 * the place while editing. */
function keptOrder(order, nuclei, first = []) {
  const present = new Set(nuclei.map((n) => n.id));
  return [...new Set([...first, ...order, ...present])].filter((id) => present.has(id));
}
