// The chosen nucleus, large, with its channels apart, its counts, and what can be said about it.

const COUNTED = ["her2", "cep17"];

class NucleusPanel {
  constructor(editor, root) {
    Object.assign(this, { editor, root, square: null, shownId: null, slipOf: null });
    const by = (name) => root.querySelector(`[data-part="${name}"]`);
    this.title = by("title");
    this.place = by("place");
    this.said = by("said");
    this.marked = by("dots");
    this.ai = { her2: by("ai-her2"), cep17: by("ai-cep17") };
    this.large = by("large");
    this.splits = Object.fromEntries(CHANNELS.map((name) => [name, by(`split-${name}`)]));
    this.inputs = { her2: by("count-her2"), cep17: by("count-cep17") };
    this.slips = { her2: by("slip-her2"), cep17: by("slip-cep17") };
    this.cluster = by("cluster");
    this.reason = by("reason");
    this.exclude = by("exclude");
    this.listen(by);
  }

  /** What is overlapped by a box drawn since is left out for that, unless the reader says otherwise. What is left out
   * for lack of a colour, say, may be no tumour nucleus at all: another reason can be given. */
  offerReason(nucleus) {
    const { overlap, reasons } = this.editor.state;
    const given = nucleus.scored || reasons.includes(nucleus.reason) ? "" : nucleus.reason;
    const offered = [nucleus.id, nucleus.scored, nucleus.covered, nucleus.reason].join(" ");
    if (offered === this.reason.dataset.offered) return;
    this.reason.dataset.offered = offered;
    this.reason.querySelector("[data-given]")?.remove();
    if (given) this.reason.prepend(element("option", { value: given, "data-given": true }, given));
    this.reason.setAttribute("aria-label", nucleus.scored ? "Reason to exclude" : "Reason why it is not scored");
    this.offersOverlap = nucleus.covered;
    if (!nucleus.scored) this.reason.value = nucleus.reason;
    else this.reason.value = nucleus.covered ? overlap : (this.usualReason ?? reasons[0]);
  }

  listen(by) {
    const { editor } = this;
    by("previous").addEventListener("click", () => editor.step(-1));
    by("next").addEventListener("click", () => editor.step(1));
    this.cluster.addEventListener("click", () => editor.toggleCluster());
    this.reason.addEventListener("change", () => {
      if (!editor.selected()?.scored) editor.leaveOutFor(this.reason.value);
      else if (!this.offersOverlap) this.usualReason = this.reason.value;
      this.reason.blur(); // the next key is an act again
      this.update();
    });
    this.exclude.addEventListener("click", () => editor.toggleExcluded());
    by("confirm").addEventListener("click", () => editor.confirm());
    for (const [channel, input] of Object.entries(this.inputs)) {
      // Not where only the window is left, with the count half typed.
      input.addEventListener("blur", () => document.hasFocus() && this.commit());
      input.addEventListener("input", () => this.forgive());
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter") {
          if (this.commit()) input.blur();
        } else if (event.key === "Escape") {
          this.forgive();
          this.fill(true);
          input.blur();
        } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
          event.preventDefault();
          if (this.isCount(channel)) this.step(input, event.key === "ArrowUp" ? 1 : -1);
        }
        event.stopPropagation();
      });
      for (const [part, by_] of [["less", -1], ["more", 1]])
        by(`${part}-${channel}`).addEventListener("click", () => {
          this.step(input, by_);
          this.commit();
        });
    }
    this.large.addEventListener("click", (event) => this.clicked(event, this.large, null));
    for (const [name, canvas] of Object.entries(this.splits))
      canvas.addEventListener("click", (event) => name !== "dapi" && this.clicked(event, canvas, name));
  }

  /** Whether a key in a field is an act, as it is elsewhere: a letter is, digits and signs are typed. */
  isActIn(field, { key, ctrlKey, metaKey, isComposing }) {
    const name = COUNTED.find((channel) => this.inputs[channel] === field);
    if (!name || ctrlKey || metaKey || isComposing) return false;
    return /^[a-z?]$/i.test(key) && !this.isTextIn(name, key);
  }

  /** Whether a letter belongs to what is being typed, so that the whole of it is refused: after another letter, after
   * what was refused, and the e of 1e2. Else the rest of it would confirm the nucleus, say. */
  isTextIn(name, letter) {
    const refused = !this.slips[name].hidden && this.slipOf === this.shownId;
    const exponent = letter.toLowerCase() === "e" && this.isTyped(name);
    return refused || exponent || /[^\d\s.,+-]/.test(this.inputs[name].value);
  }

  /** One more or less in a field. */
  step(input, by) {
    input.value = Math.max(0, Number(input.value) + by);
    this.forgive();
  }

  /** Send the typed counts if they differ from what counts now, or if the reader makes them theirs (`confirmed`).
   * False where one of them is no count: then nothing is sent, and the reader is told beside the field. */
  commit(confirmed = false) {
    const nucleus = this.editor.selected();
    if (!nucleus || nucleus.id !== this.shownId || !(confirmed || COUNTED.some((name) => this.isTyped(name)))) return true;
    const wrong = COUNTED.find((name) => !this.isCount(name));
    if (wrong) {
      this.refuse(wrong, nucleus);
      return false;
    }
    const [her2, cep17] = COUNTED.map((name) => Number(this.inputs[name].value));
    const going = this.editor.outbox.pending.some((edit) => edit.act === "set counts" && edit.nucleus === nucleus.id);
    if (her2 !== this.sent.her2 || cep17 !== this.sent.cep17 || (confirmed && !nucleus.read && !going)) {
      this.sent = { her2, cep17 };
      this.editor.edit("set counts", { her2, cep17 }, nucleus.id);
    }
    return true;
  }

  /** Whether a field says anything else than was put into it or sent. */
  isTyped(name) {
    return this.inputs[name].value.trim() !== String(this.sent[name] ?? "");
  }

  /** A whole number within the limit; of any other no count is guessed, as 2 would be of 2.5. */
  isCount(name) {
    const value = this.inputs[name].value.trim();
    return /^\d+$/.test(value) && Number(value) <= this.editor.state.limits[name];
  }

  /** What was typed is no count: the one before comes back, and the reader reads why. */
  refuse(name, { id }) {
    const input = this.inputs[name];
    const before = this.sent[name];
    const given = input.value.trim() ? `“${input.value.trim()}” is` : "An empty field is";
    const stays = before === null ? "has no count yet" : `stays ${before}`;
    const most = this.editor.state.limits[name];
    this.forgive();
    this.slips[name].textContent = `${given} not a whole number from 0 to ${most}. ${NAMES[name]} of nucleus ${id} ${stays}.`;
    this.slips[name].hidden = false;
    this.slipOf = id;
    input.value = before ?? "";
    if (input === this.root.getRootNode().activeElement) input.select(); // what is typed next takes its place
  }

  /** Nothing is wrong any more. */
  forgive() {
    for (const slip of Object.values(this.slips)) slip.hidden = true;
    this.slipOf = null;
  }

  clicked(event, canvas, channel) {
    const nucleus = this.editor.selected();
    if (!nucleus || !this.square || !this.editor.state.editable) return;
    const frame = canvas.getBoundingClientRect();
    const [x, y, side] = this.square;
    const perPixel = side / frame.width;
    const at = [x + (event.clientX - frame.left) * perPixel, y + (event.clientY - frame.top) * perPixel];
    this.editor.clickSignal(nucleus, ...at, SIGNAL_REACH * perPixel, channel);
  }

  update() {
    const { editor } = this;
    const nucleus = editor.selected();
    this.root.classList.toggle("empty", !nucleus);
    if (!nucleus) {
      this.title.textContent = "No nucleus";
      this.shownId = null;
      return;
    }
    const style = editor.state.styles[nucleus.state];
    this.title.textContent = `Nr ${nucleus.id}`;
    this.place.textContent = `${editor.order.indexOf(nucleus.id) + 1} of ${editor.order.length}`;
    const sign = element("i", { class: "chip" }, style.sign);
    sign.style.color = style.colour;
    const edited = nucleus.edited ? ` · ${nucleus.edited}` : "";
    this.said.replaceChildren(sign, standing(nucleus) + edited);
    this.marked.textContent = this.dots(nucleus);
    for (const channel of COUNTED)
      this.ai[channel].textContent = nucleus.ai === null ? "by hand" : `AI ${count(nucleus.ai[channel])}`;
    this.cluster.textContent = nucleus.clustered ? "Not clustered" : "Clustered";
    this.exclude.textContent = nucleus.scored ? "Exclude" : "Include";
    this.offerReason(nucleus);
    // Longer than its field may be.
    this.reason.title = `${this.reason.getAttribute("aria-label")}: ${this.reason.value}`;
    for (const control of this.root.querySelectorAll("[data-edit]")) control.disabled = !editor.state.editable;
    for (const name of COUNTED) this.inputs[name].ariaValueMax = editor.state.limits[name];
    // What is wrong is still read at the nucleus that the reader went to.
    if (nucleus.id !== this.shownId && this.slipOf !== this.shownId) this.forgive();
    this.fill(nucleus.id !== this.shownId);
    this.shownId = nucleus.id;
    this.paint();
  }

  /** Where the dots do not make the count, say how many there are. */
  dots(nucleus) {
    const marked = (channel) => nucleus.signals.filter(([name]) => name === channel).length;
    const [her2, cep17] = [marked("her2"), marked("cep17")];
    return her2 === nucleus.her2 && cep17 === nucleus.cep17 ? "" : `${her2} HER2 and ${cep17} CEP17 marked`;
  }

  /** Put the counts into the fields; what is being typed stays, unless `over` says otherwise. */
  fill(over) {
    const nucleus = this.editor.selected();
    if (!nucleus || (!over && this.editor.outbox.pending.some((edit) => edit.act === "set counts"))) return;
    this.sent = { her2: nucleus.her2, cep17: nucleus.cep17 };
    const focused = this.root.getRootNode().activeElement;
    for (const [channel, input] of Object.entries(this.inputs))
      if (over || input !== focused) input.value = nucleus[channel] ?? "";
  }

  paint() {
    const { picture } = this.editor;
    const nucleus = this.editor.selected();
    if (!picture || !nucleus) return;
    this.square = squareRound(nucleus.box);
    const dots = window.devicePixelRatio || 1;
    for (const canvas of [this.large, ...Object.values(this.splits)]) {
      const side = Math.max(8, Math.round(canvas.clientWidth * dots));
      if (canvas.width !== side) canvas.width = canvas.height = side;
    }
    picture.drawSquare(this.square, this.large);
    for (const [name, canvas] of Object.entries(this.splits)) picture.drawChannel(this.square, name, canvas);
    if (this.editor.overlay) this.mark(nucleus, dots);
  }

  mark(nucleus, dots) {
    const context = this.large.getContext("2d");
    const [left, top, side] = this.square;
    const per = this.large.width / side;
    const [x0, y0, x1, y1] = nucleus.box;
    const style = this.editor.state.styles[nucleus.state];
    context.setLineDash(style.pattern.map((length) => length * dots));
    context.strokeStyle = style.colour;
    context.lineWidth = style.width * dots;
    context.strokeRect((x0 - left) * per, (y0 - top) * per, (x1 - x0) * per, (y1 - y0) * per);
    context.setLineDash([]);
    const coming = this.editor.outbox.pending
      .filter((edit) => edit.act === "add signal" && edit.nucleus === nucleus.id)
      .map((edit) => [edit.channel, edit.x, edit.y]);
    for (const [channel, x, y] of [...nucleus.signals, ...coming]) {
      const colour = this.editor.state.signals[channel];
      drawSignal(context, channel, (x - left) * per, (y - top) * per, 7 * dots, colour, 1.6 * dots);
    }
  }
}
