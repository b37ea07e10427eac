// The region's pixels: decoded once, then shown with the channels, brightness and contrast that the reader chose.

const CHANNELS = ["her2", "cep17", "dapi"]; // as R, G, B
const NAMES = { her2: "HER2", cep17: "CEP17", dapi: "DAPI" };

/** Encoded pictures by the hash of their region: {blob, carriers}. Carriers put them here, editors take them. */
const pictures = new Map();
const waiting = new Set();

/** Keep a picture (64 characters of its hash, then JPEG) while its carrier is on the page; returns what ends that. */
function storePicture(bytes, carrier) {
  const id = new TextDecoder().decode(bytes.subarray(0, 64));
  if (!pictures.has(id))
    pictures.set(id, { blob: new Blob([bytes.slice(64)], { type: "image/jpeg" }), carriers: new Set() });
  const { carriers } = pictures.get(id);
  carriers.add(carrier);
  for (const arrived of waiting) arrived();
  return () => {
    carriers.delete(carrier);
    if (!carriers.size && pictures.get(id)?.carriers === carriers) pictures.delete(id);
  };
}

const plainLook = () => ({
  her2: { on: true, brightness: 1, contrast: 1 },
  cep17: { on: true, brightness: 1, contrast: 1 },
  dapi: { on: true, brightness: 1, contrast: 1 },
});

/** What each of 256 levels becomes. Contrast turns about the middle level, brightness multiplies what comes out. */
function levels({ on, brightness, contrast }) {
  const table = new Uint8ClampedArray(256);
  if (on) for (let v = 0; v < 256; v++) table[v] = ((v - 127.5) * contrast + 127.5) * brightness;
  return table;
}

const isPlain = (look) =>
  CHANNELS.every((name) => look[name].on && look[name].brightness === 1 && look[name].contrast === 1);

/** Write the shown pixels into `out` (both Uint32, RGBA little-endian). One channel alone is grey: the eye sees most. */
function applyLook(look, from, out) {
  const on = CHANNELS.filter((name) => look[name].on);
  const [r, g, b] = CHANNELS.map((name) => levels(look[name]));
  if (on.length === 1) {
    const shift = 8 * CHANNELS.indexOf(on[0]);
    const table = levels(look[on[0]]);
    for (let i = 0; i < from.length; i++) out[i] = 0xff000000 | (table[(from[i] >>> shift) & 255] * 0x010101);
    return;
  }
  for (let i = 0; i < from.length; i++) {
    const v = from[i];
    out[i] = 0xff000000 | (b[(v >>> 16) & 255] << 16) | (g[(v >>> 8) & 255] << 8) | r[v & 255];
  }
}

/** One decoded region. `raw` and `shown` are canvases of the same size; `scale` is their size by the region's. */
class Picture {
  static async decode(blob, regionWidth) {
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const picture = new Picture(bitmap.width, bitmap.height);
    picture.scale = bitmap.width / regionWidth;
    picture.raw.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
    bitmap.close();
    picture.show(plainLook());
    return picture;
  }

  constructor(width, height) {
    [this.raw, this.shown] = [0, 1].map(() => Object.assign(document.createElement("canvas"), { width, height }));
    this.pixels = null;
  }

  show(look) {
    const target = this.shown.getContext("2d");
    if (isPlain(look)) {
      target.drawImage(this.raw, 0, 0);
      return;
    }
    const { width, height } = this.raw;
    this.pixels ??= this.raw.getContext("2d").getImageData(0, 0, width, height);
    this.adjusted ??= new ImageData(width, height);
    applyLook(look, new Uint32Array(this.pixels.data.buffer), new Uint32Array(this.adjusted.data.buffer));
    target.putImageData(this.adjusted, 0, 0);
  }

  /** Draw the square [x, y, side] of the region over all of a canvas; black beyond the image. */
  drawSquare([x, y, side], canvas) {
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const at = side * this.scale;
    context.drawImage(this.shown, x * this.scale, y * this.scale, at, at, 0, 0, canvas.width, canvas.height);
  }

  /** One channel of the square in grey, stretched to its own brightest level. */
  drawChannel(square, channel, canvas) {
    const [x, y, side] = square.map((value) => Math.round(value * this.scale));
    const cut = this.raw.getContext("2d").getImageData(x, y, Math.max(side, 1), Math.max(side, 1));
    const at = CHANNELS.indexOf(channel);
    let most = 1;
    for (let i = at; i < cut.data.length; i += 4) most = Math.max(most, cut.data[i]);
    for (let i = 0; i < cut.data.length; i += 4) {
      cut.data[i] = cut.data[i + 1] = cut.data[i + 2] = (cut.data[i + at] * 255) / most;
      cut.data[i + 3] = 255;
    }
    const small = Object.assign(document.createElement("canvas"), { width: cut.width, height: cut.height });
    small.getContext("2d").putImageData(cut, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
}
