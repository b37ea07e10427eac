// The keys of the second read, and where they go on: the fields are others for each nucleus, and the browser would
// leave the keyboard nowhere.

const PATIENCE_MS = 5000; // for the next nucleus

/** Where the keyboard is going. Outlives what is drawn anew where a message comes or goes above it. */
const way = { from: null, waitsUntil: 0 };

class CountingKeys {
  constructor() {
    Object.assign(this, { shown: null, counts: {} });
    this.stop = new AbortController();
    window.addEventListener("keydown", (event) => this.key(event), { signal: this.stop.signal, capture: true });
  }

  /** `fields` is what the keys of the two fields begin with, `counts` what they hold where nothing was typed. */
  show({ fields, counts }) {
    Object.assign(this, { shown: fields, counts });
    if (way.from !== null && way.from !== fields) this.goOn(performance.now() + PATIENCE_MS);
    Object.assign(way, { from: null, waitsUntil: 0 });
  }

  /** The keyboard goes to the first count that lacks, once its field is there; not if the reader went elsewhere. */
  goOn(until) {
    const active = document.activeElement;
    if (performance.now() > until || (active !== document.body && active?.isConnected && !this.isCount(active))) return;
    const field = this.lacking();
    if (!field) requestAnimationFrame(() => this.goOn(until));
    else if (active !== field) this.enter(field);
  }

  field(name) {
    const found = document.querySelector(`.st-key-${this.shown}_${name} input`);
    return found?.checkVisibility() ? found : null; // the table may be in its place
  }

  lacking() {
    return this.counts.her2 !== null && this.counts.cep17 === null ? this.field("cep17") : this.field("her2");
  }

  enter(field) {
    field.focus();
    field.select();
  }

  isCount(element) {
    return element.matches(`[class*="st-key-recount_"] input[type="number"]`);
  }

  /** Whether something was typed that is not saved. */
  typed() {
    return ["her2", "cep17"].some((name) => (this.field(name)?.value ?? "") !== String(this.counts[name] ?? ""));
  }

  press(button) {
    document.querySelector(`[class*="st-key-${button}"] button`)?.click();
  }

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !(target instanceof Element)) return;
    const counting = this.isCount(target);
    if (!counting && target !== document.body && !target.matches("button")) return;
    if (document.querySelector('[role="dialog"]') || !this.field("her2")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // What is typed before the next nucleus is in sight cannot be its count.
    if (performance.now() < way.waitsUntil && (counting || target === document.body)) take(event);
    else if (["n", "p", "x"].includes(name)) {
      take(event);
      this.act(name, counting);
    } else if (name === "Enter" || name === " ") {
      if (counting ? name === "Enter" : target.closest(`[class*="_save"], [class*="st-key-recount_skip_"]`)) this.leave();
    } else if (/^\d$/.test(name) && !counting) this.enter(this.lacking()); // where the digit is typed now
  }

  act(name, counting) {
    const unsaved = this.typed();
    if (name === "p" && unsaved) return; // a count that was typed is not lost on the way back
    if (counting || name === "x") this.leave();
    if (name === "x") this.press("recount_skip_");
    else if (name === "p") this.press("recount_step_-1");
    else this.press(unsaved ? `${this.shown}_save` : "recount_step_1");
  }

  /** The next nucleus is on its way, and the keyboard follows. */
  leave() {
    Object.assign(way, { from: this.shown, waitsUntil: performance.now() + PATIENCE_MS });
  }

  close() {
    this.stop.abort();
  }
}

function take(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

const all = new WeakMap();

export default function ({ data, parentElement }) {
  let keys = all.get(parentElement);
  if (!keys) all.set(parentElement, (keys = new CountingKeys()));
  const run = (keys.run = (keys.run ?? 0) + 1);
  keys.show(data);
  // Streamlit also calls this for a run that a later one overtook: then the keys stay.
  return () =>
    setTimeout(() => {
      if (keys.run !== run) return;
      keys.close();
      all.delete(parentElement);
    }, 100);
}
