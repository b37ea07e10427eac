// The editor: holds the state that the server sent, what the reader chose to see, and sends each edit.

/** How each region was left, for as long as the page lives. Ids only, nothing of the patient. */
const leftAt = new Map();
/** The last refusal that was dismissed, by the window that it answered: outlives the editor, as the refusals do. */
const dismissed = new Map();
const FOOTER_PX = 36; // the note at the bottom of every page, and a little air
const LEAST_HEIGHT_PX = 440;
const LOW_PX = 600; // below this the side is drawn closer together, so that nothing of it is cut
const TALL_PX = 800; // from this the gallery has its place below the nucleus
const WIDE_PX = 1200; // from this there is room for it beside

class Editor {
  constructor(root, post) {
    Object.assign(this, { post, state: null, picture: null, chosen: null, order: [], orderBy: "doubt" });
    Object.assign(this, { tool: "select", mark: "her2", overlay: true, look: plainLook(), shownSelect: 0 });
    this.dom = build();
    root.append(this.dom);
    this.parts = Object.fromEntries([...this.dom.querySelectorAll("[data-part]")].map((e) => [e.dataset.part, e]));
    this.outbox = new Outbox((message) => this.post(message), () => this.saving());
    this.field = new Field(this, this.parts.field, this.parts.tip);
    this.panel = new NucleusPanel(this, this.dom.querySelector(".nucleus"));
    this.gallery = new Gallery(this, this.parts.tiles);
    this.listen();
    this.fitToPage();
  }

  // --- what the server says --------------------------------------------------------------------------------------

  update(state) {
    const another = this.state?.region.id !== state.region.id;
    if (another) this.leave();
    this.state = state;
    this.outbox.acknowledge(state.acknowledged);
    this.outbox.arrived(state.region.id);
    if (another) this.begin();
    this.bringForward();
    if (state.select.number > this.shownSelect) {
      this.shownSelect = state.select.number;
      if (this.nucleus(state.select.nucleus)) this.chosen = state.select.nucleus;
    }
    if (!this.nucleus(this.chosen)) this.chosen = this.order[0] ?? null;
    this.write();
  }

  begin() {
    const { region, nuclei } = this.state;
    const left = leftAt.get(region.id);
    this.orderBy = left?.orderBy ?? this.orderBy;
    this.parts.order.value = this.orderBy;
    this.order = left?.order ?? ordered(nuclei, this.orderBy);
    this.overlapped = left?.overlapped ?? overlapped(nuclei);
    this.chosen = left?.chosen ?? this.order[0] ?? null;
    this.picture = null;
    this.field.begin(region, left?.view);
    this.loadPicture();
  }

  /** What has come to be overlapped is put first at once, whatever the order; it stays there once it is dealt with. */
  bringForward() {
    const { nuclei } = this.state;
    const now = overlapped(nuclei);
    const since = [...now].filter((id) => !this.overlapped.has(id));
    this.order = keptOrder(this.order, nuclei, since);
    this.overlapped = now;
  }

  /** Remember how the region is left. */
  leave() {
    if (!this.state) return;
    const { order, orderBy, chosen } = this;
    const { scale, x, y } = this.field.view;
    leftAt.set(this.state.region.id, { order, orderBy, chosen, overlapped: this.overlapped, view: { scale, x, y } });
  }

  async loadPicture() {
    const { region } = this.state;
    const blob = pictures.get(region.picture)?.blob;
    this.parts.loading.hidden = Boolean(this.picture);
    if (!blob || this.loading === region.picture) return;
    this.loading = region.picture;
    try {
      const picture = await Picture.decode(blob, region.width);
      if (this.state.region.picture !== region.picture) return;
      picture.show(this.look);
      this.picture = picture;
      this.parts.loading.hidden = true;
      this.repaint();
    } catch {
      this.parts.loading.textContent = "The image cannot be shown. Load the page again.";
    } finally {
      this.loading = null;
      if (!this.picture && this.state.region.picture !== region.picture) this.loadPicture();
    }
  }

  write() {
    const { state, parts } = this;
    if (parts.cards.dataset.html !== state.cards) {
      parts.cards.innerHTML = state.cards; // escaped on the server
      parts.cards.dataset.html = state.cards;
    }
    this.writeRegions();
    this.writeLegend();
    const reasons = JSON.stringify(state.reasons);
    if (parts.reason.dataset.reasons !== reasons) {
      parts.reason.dataset.reasons = reasons;
      parts.reason.replaceChildren(...state.reasons.map((reason) => element("option", { value: reason }, reason)));
    }
    for (const name of ["undo", "redo"]) {
      parts[name].title = state[name] ? `${name === "undo" ? "Undo" : "Redo"}: ${state[name]}` : "Nothing to take back";
    }
    parts.note.textContent = state.note;
    const doubtful = state.nuclei.filter((n) => n.state === "uncertain").length;
    parts.summary.textContent = `${state.nuclei.length} nuclei here` + (doubtful ? `, ${doubtful} uncertain` : "");
    parts.field.setAttribute("aria-label", `Region ${state.region.name} with ${state.nuclei.length} boxed nuclei`);
    this.refuse();
    this.saving();
    this.gallery.update();
    this.tools();
    this.panel.update();
    this.field.paint();
    requestAnimationFrame(() => this.fitToPage());
  }

  writeRegions() {
    const { regions, region } = this.state;
    const said = JSON.stringify([regions, region.id]);
    if (this.parts.regions.dataset.said === said) return;
    this.parts.regions.dataset.said = said;
    this.parts.regions.replaceChildren(
      ...regions.map(({ id, name, scored, doubtful, counts }) => {
        const about = counts ? `${scored} scored, ${doubtful} of them doubtful` : "does not count: flagged as unsuitable";
        return element(
          "button",
          { type: "button", "aria-pressed": String(id === region.id), title: about, onclick: () => this.lookAt(id) },
          doubtful ? `${name} · ${doubtful} ?` : name,
        );
      }),
    );
  }

  writeLegend() {
    const { nuclei, styles, signals, cluster } = this.state;
    const states = Object.entries(styles).map(([state, style]) => {
      const number = nuclei.filter((n) => n.state === state).length;
      const mark = element("i", { class: "mark", "data-state": state }, style.sign);
      mark.style.color = style.colour;
      return number ? element("span", {}, lineSample(style), mark, `${style.word} ${number}`) : null;
    });
    const dots = ["her2", "cep17"].map((channel) => {
      const mark = element("i", { class: "mark" }, channel === "her2" ? "○" : "◇");
      mark.style.color = signals[channel];
      return element("span", {}, mark, NAMES[channel]);
    });
    const numbers = [element("span", {}, "Numbers: HER2/CEP17")];
    if (nuclei.some((n) => n.clustered)) numbers.push(element("span", {}, `6${cluster.sign}/2: ${cluster.words}`));
    this.parts.legend.replaceChildren(...states.filter(Boolean), ...dots, ...numbers);
  }

  refuse() {
    const { refused, acknowledged } = this.state;
    const latest = refused.at(-1);
    const shown = latest && latest.number > (dismissed.get(acknowledged.window) ?? 0);
    this.parts.refused.hidden = !shown;
    if (shown) this.parts.why.textContent = latest.message;
  }

  saving() {
    const waits = this.outbox.pending.length > 0;
    this.parts.status.textContent = waits ? "Saving …" : this.state?.editable ? "All changes saved" : "Read only";
    this.parts.status.classList.toggle("waits", waits);
    this.parts.undo.disabled = !this.state?.editable || !(this.state.undo || waits); // what is on its way, too
    this.parts.redo.disabled = !this.state?.editable || !this.state.redo;
  }

  // --- what the reader does --------------------------------------------------------------------------------------

  nucleus(id) {
    return this.state?.nuclei.find((n) => n.id === id) ?? null;
  }

  selected() {
    return this.nucleus(this.chosen);
  }

  select(id) {
    if (id !== this.chosen) this.panel.commit();
    this.chosen = id;
    this.gallery.choose();
    this.panel.update();
    const nucleus = this.selected();
    if (nucleus && !this.inSight(nucleus.box)) {
      this.field.view.centre((nucleus.box[0] + nucleus.box[2]) / 2, (nucleus.box[1] + nucleus.box[3]) / 2);
    }
    this.field.paint();
  }

  inSight(box) {
    const { view } = this.field;
    const [x, y] = view.toScreen((box[0] + box[2]) / 2, (box[1] + box[3]) / 2);
    return x > 20 && y > 20 && x < view.width - 20 && y < view.height - 20;
  }

  step(by) {
    const { order } = this;
    if (!order.length) return;
    const at = order.indexOf(this.chosen);
    this.select(order[(at + by + order.length) % order.length]);
  }

  lookAt(region) {
    this.leave();
    this.outbox.look(region);
  }

  edit(act, values, nucleus = null) {
    if (!this.state?.editable) return;
    this.dismiss();
    this.outbox.push({ act, region: this.state.region.id, nucleus, seen: this.state.seen, ...values });
    this.field.paint();
    this.panel.paint();
  }

  clickSignal(nucleus, x, y, reach, channel = null) {
    const there = signalAt(nucleus, x, y, reach, channel);
    if (there) this.edit("delete signal", { channel: there.channel, x: there.x, y: there.y }, nucleus.id);
    else this.edit("add signal", { channel: channel ?? this.mark, x, y }, nucleus.id);
  }

  addNucleus(box) {
    this.edit("add nucleus", { box });
  }

  moveBox(id, box) {
    this.edit("move box", { box }, id);
  }

  toggleCluster() {
    const nucleus = this.selected();
    if (!nucleus || !this.state.editable) return;
    this.edit("set cluster", { clustered: !nucleus.clustered }, nucleus.id);
    if (nucleus.clustered) return;
    this.panel.inputs.her2.focus(); // the estimate is typed next
    this.panel.inputs.her2.select();
  }

  /** The counts as they stand are the reader's own; on to the next nucleus. */
  confirm() {
    if (this.state.editable && this.panel.commit(true)) this.step(1);
  }

  toggleExcluded() {
    const nucleus = this.selected();
    if (!nucleus) return;
    if (nucleus.scored) this.edit("exclude", { reason: this.parts.reason.value }, nucleus.id);
    else this.edit("include", {}, nucleus.id);
  }

  /** Another reason for a nucleus that is left out already. */
  leaveOutFor(reason) {
    const nucleus = this.selected();
    if (nucleus && !nucleus.scored && reason !== nucleus.reason) this.edit("exclude", { reason }, nucleus.id);
  }

  dismiss() {
    const { refused, acknowledged } = this.state;
    if (refused.length) dismissed.set(acknowledged.window, refused.at(-1).number);
    this.parts.refused.hidden = true;
  }

  // --- what the reader sees --------------------------------------------------------------------------------------

  useTool(tool) {
    this.tool = tool;
    this.tools();
    this.field.paint();
  }

  tools() {
    const press = (part, on) => this.parts[part].setAttribute("aria-pressed", String(on));
    for (const [tool] of TOOLS) press(`tool-${tool}`, tool === this.tool);
    for (const channel of ["her2", "cep17"]) press(`mark-${channel}`, channel === this.mark);
    for (const channel of CHANNELS) press(`show-${channel}`, this.look[channel].on);
    press("adjust", !this.parts.adjusting.hidden);
    for (const tool of ["signal", "box"]) this.parts[`tool-${tool}`].disabled = !this.state?.editable;
  }

  markChannel(channel) {
    this.mark = channel;
    this.tools();
  }

  toggleChannel(channel) {
    this.look[channel].on = !this.look[channel].on;
    this.lookChanged();
  }

  lookChanged() {
    this.tools();
    this.lookFrame ??= requestAnimationFrame(() => {
      this.lookFrame = null;
      this.picture?.show(this.look);
      this.repaint();
    });
  }

  asRecorded() {
    this.look = plainLook();
    for (const slider of this.dom.querySelectorAll("[data-look]")) slider.value = 1;
    this.lookChanged();
  }

  repaint() {
    this.field.paint();
    this.panel.paint();
    this.gallery.repaint();
  }

  viewChanged() {
    this.field.paint();
  }

  zoomBy(factor) {
    const { view } = this.field;
    view.zoom(factor, view.width / 2, view.height / 2);
    this.viewChanged();
  }

  zoomToSelected() {
    const nucleus = this.selected();
    if (!nucleus) return;
    const [x, y, side] = squareRound(nucleus.box, 0.8);
    const { view } = this.field;
    view.zoom(Math.min(view.width, view.height) / side / view.scale, view.width / 2, view.height / 2);
    view.centre(x + side / 2, y + side / 2);
    this.viewChanged();
  }

  oneToOne() {
    const { view } = this.field;
    const nucleus = this.selected();
    view.zoom(1 / view.scale / (window.devicePixelRatio || 1), view.width / 2, view.height / 2);
    if (nucleus) view.centre((nucleus.box[0] + nucleus.box[2]) / 2, (nucleus.box[1] + nucleus.box[3]) / 2);
    this.viewChanged();
  }

  whole() {
    this.field.view.fit();
    this.viewChanged();
  }

  toggle(part) {
    this.parts[part].hidden = !this.parts[part].hidden;
    this.tools();
  }

  // --- wires -----------------------------------------------------------------------------------------------------

  listen() {
    const on = (part, act) => this.parts[part].addEventListener("click", act);
    for (const [tool] of TOOLS) on(`tool-${tool}`, () => this.useTool(tool));
    for (const channel of CHANNELS) on(`show-${channel}`, () => this.toggleChannel(channel));
    for (const channel of ["her2", "cep17"]) on(`mark-${channel}`, () => this.markChannel(channel));
    on("adjust", () => this.toggle("adjusting"));
    on("plain", () => this.asRecorded());
    on("smaller", () => this.zoomBy(1 / 1.4));
    on("larger", () => this.zoomBy(1.4));
    on("fit", () => this.whole());
    on("real", () => this.oneToOne());
    on("undo", () => this.edit("undo", {}));
    on("redo", () => this.edit("redo", {}));
    on("dismiss", () => this.dismiss());
    for (const slider of this.dom.querySelectorAll("[data-look]")) {
      slider.addEventListener("pointerup", () => slider.blur()); // the next key is an act again
      slider.addEventListener("input", () => {
        const [channel, what] = slider.dataset.look.split("-");
        this.look[channel][what] = Number(slider.value);
        this.lookChanged();
      });
    }
    this.parts.order.addEventListener("change", () => {
      this.orderBy = this.parts.order.value;
      this.order = ordered(this.state.nuclei, this.orderBy);
      this.chosen = this.order[0] ?? null;
      this.gallery.update();
      this.select(this.chosen);
      this.parts.order.blur();
    });
    this.stop = new AbortController();
    const { signal } = this.stop;
    window.addEventListener("keydown", (event) => this.key(event), { signal, capture: true });
    window.addEventListener("resize", () => this.fitToPage(), { signal });
    this.sizes = new ResizeObserver(() => {
      this.fitToPage();
      const { clientWidth, clientHeight } = this.parts.field.parentElement;
      this.field.resize(clientWidth, clientHeight);
      this.panel.paint();
    });
    this.sizes.observe(this.parts.field.parentElement);
    this.sizes.observe(this.panel.root);
    this.arrived = () => this.state && this.loadPicture();
    waiting.add(this.arrived);
  }

  /** All of the editor is in sight: it takes the height that is left below what stands above it. */
  fitToPage() {
    const page = this.dom.getRootNode().host?.closest(".stMain");
    const top = this.dom.getBoundingClientRect().top + (page?.scrollTop ?? 0);
    if (top <= 0) return;
    if (page && !this.watched) {
      this.watched = true;
      this.sizes.observe(page.firstElementChild); // what stands above or below may come and go
    }
    const take = (height) => {
      this.dom.style.height = `${Math.floor(Math.max(LEAST_HEIGHT_PX, height))}px`;
      this.dom.classList.toggle("low", height < LOW_PX);
      this.dom.classList.toggle("beside", height < TALL_PX && this.dom.clientWidth >= WIDE_PX);
    };
    take(window.innerHeight - top - FOOTER_PX);
    const over = page ? page.scrollHeight - page.clientHeight : 0;
    if (over > 0) take(window.innerHeight - top - FOOTER_PX - over);
  }

  key(event) {
    const target = event.composedPath()[0];
    const typing = target instanceof Element && target.matches("input, textarea, select, [contenteditable]");
    if (typing && !this.panel.isActIn(target, event)) return;
    if (event.altKey || !this.dom.isConnected || document.querySelector('[role="dialog"]')) return;
    const act = this.keyAct(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    if (typing && !this.panel.commit()) return;
    if (typing) target.blur(); // the next key is an act again
    act();
  }

  keyAct(event) {
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      const history = { z: event.shiftKey ? "redo" : "undo", y: "redo" }[name];
      return history && (() => this.parts[history].click());
    }
    const acts = {
      ArrowRight: () => this.step(1),
      n: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      p: () => this.step(-1),
      v: () => this.useTool("select"),
      s: () => this.parts["tool-signal"].click(),
      b: () => this.parts["tool-box"].click(),
      1: () => this.markChannel("her2"),
      2: () => this.markChannel("cep17"),
      x: () => this.toggleExcluded(),
      k: () => this.toggleCluster(),
      c: () => this.confirm(),
      z: () => this.parts.undo.click(),
      y: () => this.parts.redo.click(),
      q: () => this.toggleChannel("her2"),
      w: () => this.toggleChannel("cep17"),
      e: () => this.toggleChannel("dapi"),
      "+": () => this.zoomBy(1.4),
      "-": () => this.zoomBy(1 / 1.4),
      f: () => this.whole(),
      o: () => this.oneToOne(),
      g: () => this.zoomToSelected(),
      h: () => this.toggleOverlay(),
      "?": () => this.toggle("help"),
      Escape: () => this.escape(),
    };
    return Object.hasOwn(acts, name) ? acts[name] : null;
  }

  toggleOverlay() {
    this.overlay = !this.overlay;
    this.repaint();
  }

  escape() {
    this.field.cancel();
    this.parts.help.hidden = this.parts.adjusting.hidden = true;
    this.useTool("select");
  }

  close() {
    this.leave();
    this.stop.abort();
    this.sizes.disconnect();
    this.gallery.close();
    this.outbox.close();
    waiting.delete(this.arrived);
    this.dom.remove();
  }
}
