// Edits on their way to the case log. Each message holds all that were not acknowledged yet, so that none is lost when
// messages overtake each other; the server takes each number once.

class Outbox {
  constructor(post, changed) {
    Object.assign(this, { post, changed, pending: [], next: 1, region: null });
    this.window = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    this.timer = setInterval(() => this.pending.length && this.send(), 5000);
  }

  push(edit) {
    this.pending.push({ ...edit, number: this.next++ });
    this.send();
    this.changed();
  }

  /** Ask for another region; with every message, until it is there. */
  look(region) {
    this.region = region;
    this.send();
  }

  /** This region is shown, asked for here or chosen elsewhere on the page. */
  arrived(region) {
    if (this.region === region) this.region = null;
  }

  send() {
    this.post({ window: this.window, region: this.region, edits: this.pending });
  }

  acknowledge({ window, upto }) {
    if (window !== this.window) return;
    this.pending = this.pending.filter((edit) => edit.number > upto);
    this.changed();
  }

  close() {
    clearInterval(this.timer);
  }
}
