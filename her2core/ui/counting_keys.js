// The keys of the second read, and where they go on: the fields are others for each nucleus, and the browser would
// leave the keyboard nowhere.

const PATIENCE_MS = 5000; // for the next nucleus
const SAVING = '[class*="_save"]';
const LEAVING = `${SAVING}, [class*="st-key-recount_skip_"]`; // buttons that lead to the next nucleus
const COUNT = '[class*="st-key-recount_"]:is([class*="_her2"], [class*="_cep17"]) input';
const QUIET_MS = 250; // without a key: whatever comes then is no rest of a number

/** Where the keyboard is going. Outlives what is drawn anew where a message comes or goes above it. `tooEarly`: a digit
    was typed on the way, so that what follows it may be the rest of its number. */
const way = { from: null, waitsUntil: 0, tooEarly: false, quietUntil: 0 };

class Faceless {
  constructor() {
    Object.assign(this, { shown: null, counts: {}, count: /^/ });
    this.stop = new AbortController();
    window.addEventListener("keydown", (event) => this.key(event), { signal: this.stop.signal, capture: true });
  }

  /** `fields` is what the keys of the two fields begin with, `counts` what they hold where nothing was typed, `pattern`
      what the page takes for a count. */
  show({ fields, counts, pattern }) {
    Object.assign(this, { shown: fields, counts, count: new RegExp(pattern) });
    const from = way.from;
    way.from = null;
    if (from === fields) this.arrive();
    else if (from !== null) this.goOn(performance.now() + PATIENCE_MS);
  }

  /** The keyboard goes to the first count that lacks, once its field is there and holds what was counted, which comes
      after the field itself and would undo the selection; not if the reader went elsewhere. */
  goOn(until) {
    const active = document.activeElement;
    // The button that was pressed may be there for a moment longer; whoever pressed it did not go elsewhere.
    const elsewhere =
      active !== document.body && active?.isConnected && !this.isCount(active) && !active.closest(LEAVING);
    const givenUp = elsewhere || performance.now() > until;
    const name = this.lacking();
    const there = this.field(name);
    const field = givenUp || there?.value !== this.held(name) ? null : there;
    if (!givenUp && !field) requestAnimationFrame(() => this.goOn(until));
    else this.arrive();
    if (field && active !== field) this.enter(field);
  }

  arrive() {
    const quietUntil = way.tooEarly ? performance.now() + QUIET_MS : 0;
    Object.assign(way, { waitsUntil: 0, tooEarly: false, quietUntil });
  }

  field(name) {
    const found = document.querySelector(`.st-key-${this.shown}_${name} input`);
    return found?.checkVisibility() ? found : null; // the table may be in its place
  }

  lacking() {
    return this.counts.her2 !== null && this.counts.cep17 === null ? "cep17" : "her2";
  }

  /** What a field holds where nothing was typed. */
  held(name) {
    return String(this.counts[name] ?? "");
  }

  enter(field) {
    field.focus();
    field.select();
  }

  isCount(element) {
    return element.matches(COUNT);
  }

  /** Whether something was typed that is not saved. */
  typed() {
    return ["her2", "cep17"].some((name) => (this.field(name)?.value ?? "") !== this.held(name));
  }

  /** The field whose text is no count: the page says so beside it, and the keyboard stays there. */
  mistyped() {
    return ["her2", "cep17"].map((name) => this.field(name)).find((field) => field && !this.count.test(field.value));
  }

  /** Both counts are given: on to the next nucleus, unless one of them has to be typed again. */
  save() {
    const wrong = this.mistyped();
    if (wrong) this.enter(wrong);
    else this.leave();
  }

  press(button) {
    document.querySelector(`[class*="st-key-${button}"] button`)?.click();
  }

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !(target instanceof Element)) return;
    const counting = this.isCount(target);
    if (!counting && target !== document.body && !target.matches("button")) return;
    if (document.querySelector('[role="dialog"]')) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = /^\d$/.test(name);
    const act = ["n", "p", "x"].includes(name);
    const early = this.early(digit);
    if (early && (digit || act || (name === "Enter" && !target.matches("button")))) {
      take(event);
      return;
    }
    if (!this.field("her2")) return;
    if (act) {
      take(event);
      this.act(name, counting);
    } else if (name === "Enter" || name === " ") {
      if (counting ? name === "Enter" : target.closest(SAVING)) this.save();
      else if (!counting && target.closest(LEAVING)) this.leave();
    } else if (digit && !counting) this.enter(this.field(this.lacking())); // where the digit is typed now
  }

  /** Whether a key comes too early: before the next nucleus is in sight it cannot be its count, nor can the rest of a
      number that began then. */
  early(digit) {
    const now = performance.now();
    if (now < way.waitsUntil) way.tooEarly ||= digit;
    else if (now < way.quietUntil) way.quietUntil = now + QUIET_MS;
    else return false;
    return true;
  }

  act(name, counting) {
    const unsaved = this.typed();
    if (name === "p" && unsaved) return; // a count that was typed is not lost on the way back
    const wrong = name === "n" ? this.mistyped() : null;
    if (wrong) this.enter(wrong);
    else if (counting || name === "x") this.leave();
    if (name === "x") this.press("recount_skip_");
    else if (name === "p") this.press("recount_step_-1");
    else this.press(unsaved ? `${this.shown}_save` : "recount_step_1");
  }

  /** The next nucleus is on its way, and the keyboard follows. */
  leave() {
    Object.assign(way, { from: this.shown, waitsUntil: performance.now() + PATIENCE_MS, tooEarly: false });
  }

  close() {
    this.stop.abort();
  }
}

function take(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
