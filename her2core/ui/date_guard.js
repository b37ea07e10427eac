// A day that does not exist, such as 31 February, becomes the last one of its month as soon as a date field is left, and
// the field tells nobody. What is typed is read before that, and handed to the page.
//
// After Enter a date field keeps what was typed to itself while its calendar is open, and the page would go on with the
// day before, and with what it said of that one. Escape closes the calendar and hands the day on.

const FIELD = ".react-aria-DateField";

class Faceless {
  constructor() {
    this.stop = new AbortController();
    this.typed = {};
    const at = { signal: this.stop.signal, capture: true };
    window.addEventListener("focusout", (event) => this.left(event), at);
    window.addEventListener("keydown", (event) => this.entered(event), at);
  }

  entered({ key, target }) {
    if (key !== "Enter" || !(target instanceof Element) || !target.closest(FIELD)) return;
    target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", code: "Escape", bubbles: true, cancelable: true }));
  }

  left({ target, relatedTarget }) {
    const field = target instanceof Element ? target.closest(FIELD) : null;
    const key = field?.closest('[class*="st-key-"]')?.className.match(/st-key-(\S+)/)?.[1];
    if (!key || field.contains(relatedTarget)) return;
    const [year, month, day] = ["year", "month", "day"].map((part) => {
      return Number(field.querySelector(`[data-type="${part}"]`)?.textContent);
    });
    if (!year || !month || !day) return; // not a whole day yet
    const exists = day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
    if (exists && !(key in this.typed)) return;
    this.typed = { ...this.typed, [key]: exists ? null : [year, month, day] };
    this.tell(this.typed);
  }

  show(data, setStateValue) {
    this.tell = (typed) => setStateValue("typed", typed);
  }

  close() {
    this.stop.abort();
  }
}
