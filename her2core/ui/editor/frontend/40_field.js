// The field: the whole region with boxes and signals; wheel zooms, dragging pans, clicks select or edit.

const SIGNAL_REACH = 9; // screen pixels round a signal or a box side in which the pointer grips it
const CLICK_SLOP = 4; // a press that moves less is a click

function drawSignal(context, channel, x, y, radius, colour, width = 1.4) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  if (channel === "her2") context.arc(x, y, radius, 0, 7);
  else {
    const tip = radius * 1.3;
    context.moveTo(x, y - tip);
    context.lineTo(x + tip, y);
    context.lineTo(x, y + tip);
    context.lineTo(x - tip, y);
    context.closePath();
  }
  context.stroke();
}

class Field {
  constructor(editor, canvas, tip) {
    Object.assign(this, { editor, canvas, tip, view: new View(), drag: null, drawn: null, fresh: true });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.tell(null));
    canvas.addEventListener("dblclick", () => editor.tool === "select" && editor.zoomToSelected());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Take the room there is, sharp on every screen. */
  resize(width, height) {
    if (width < 2 || height < 2) return;
    const dots = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * dots);
    this.canvas.height = Math.round(height * dots);
    this.view.resize(width, height);
    if (this.fresh) this.settle();
    this.fresh = false;
    this.paint();
  }

  /** Another region is shown, as it was left or as a whole. */
  begin({ width, height }, left) {
    Object.assign(this.view, { imageWidth: width, imageHeight: height });
    this.left = left;
    if (!this.fresh) this.settle(); // before the first resize there is no room to settle in
    this.cancel();
  }

  settle() {
    if (this.left) {
      Object.assign(this.view, this.left);
      this.view.keepInside();
    } else this.view.fit();
  }

  paint() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paintNow();
    });
  }

  paintNow() {
    const { view, editor, canvas } = this;
    const context = canvas.getContext("2d");
    const dots = canvas.width / view.width;
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, view.width, view.height);
    if (editor.picture) this.paintImage(context, editor.picture);
    if (editor.state && editor.overlay) this.paintNuclei(context);
    if (editor.state && this.drawn) this.paintDrawn(context);
  }

  paintImage(context, picture) {
    const { view } = this;
    const [left, top] = view.toImage(0, 0).map((value) => Math.max(0, value));
    const [right, bottom] = view.toImage(view.width, view.height);
    const width = Math.min(right, view.imageWidth) - left;
    const height = Math.min(bottom, view.imageHeight) - top;
    const [x, y] = view.toScreen(left, top);
    context.imageSmoothingQuality = view.scale < 1 ? "medium" : "high";
    const s = picture.scale;
    context.drawImage(
      picture.shown, left * s, top * s, width * s, height * s, x, y, width * view.scale, height * view.scale,
    );
  }

  paintNuclei(context) {
    const { view, editor } = this;
    const chosen = editor.selected();
    for (const nucleus of editor.state.nuclei) {
      if (!view.sees(nucleus.box)) continue;
      if (nucleus !== chosen) this.paintBox(context, nucleus, nucleus.box);
      this.paintSignals(context, nucleus.signals);
    }
    for (const edit of editor.outbox.pending)
      if (edit.act === "add signal") this.paintSignals(context, [[edit.channel, edit.x, edit.y]]);
    if (chosen) this.paintChosen(context, chosen);
  }

  paintBox(context, nucleus, box, width = 1) {
    const style = this.editor.state.styles[nucleus.state];
    const [x0, y0] = this.view.toScreen(box[0], box[1]);
    const [x1, y1] = this.view.toScreen(box[2], box[3]);
    context.setLineDash(style.pattern);
    context.strokeStyle = style.colour;
    context.lineWidth = style.width * width;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    context.setLineDash([]);
    if (nucleus.state !== "scored" && x1 - x0 > 22) {
      context.font = "600 13px sans-serif";
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.strokeText(style.sign, x0 + 4, y0 + 13);
      context.fillStyle = style.colour;
      context.fillText(style.sign, x0 + 4, y0 + 13);
    }
  }

  paintSignals(context, signals) {
    const radius = Math.min(8, Math.max(1.6, 3.2 * this.view.scale));
    for (const [channel, sx, sy] of signals) {
      const [x, y] = this.view.toScreen(sx, sy);
      drawSignal(context, channel, x, y, radius, this.editor.state.signals[channel], radius < 3 ? 1 : 1.4);
    }
  }

  /** The chosen nucleus: its own box, a white frame round it, and handles where the box can be changed. */
  paintChosen(context, nucleus) {
    const box = this.drawn?.of === nucleus.id ? this.drawn.box : nucleus.box;
    this.paintBox(context, nucleus, box, 1.2);
    const [x0, y0] = this.view.toScreen(box[0], box[1]);
    const [x1, y1] = this.view.toScreen(box[2], box[3]);
    context.strokeStyle = "#fff";
    context.lineWidth = 2.5;
    context.strokeRect(x0 - 4, y0 - 4, x1 - x0 + 8, y1 - y0 + 8);
    if (this.editor.tool !== "box" || !this.editor.state.editable) return;
    context.fillStyle = "#fff";
    for (const x of [x0, (x0 + x1) / 2, x1])
      for (const y of [y0, (y0 + y1) / 2, y1])
        if (x !== (x0 + x1) / 2 || y !== (y0 + y1) / 2) context.fillRect(x - 4, y - 4, 8, 8);
  }

  paintDrawn(context) {
    if (this.drawn.of !== null) return;
    const [x0, y0] = this.view.toScreen(this.drawn.box[0], this.drawn.box[1]);
    const [x1, y1] = this.view.toScreen(this.drawn.box[2], this.drawn.box[3]);
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.setLineDash([3, 3]);
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    context.setLineDash([]);
  }

  at(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.at(event);
    const lines = event.deltaMode === 1 ? 33 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * 0.0016), x, y);
    this.editor.viewChanged();
  }

  press(event) {
    const [x, y] = this.at(event);
    const [imageX, imageY] = this.view.toImage(x, y);
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const { tool, state } = this.editor;
    let kind = "pan";
    let grip = null;
    if (event.button === 0 && tool === "box" && state?.editable) {
      const chosen = this.editor.selected();
      grip = chosen && gripAt(chosen.box, imageX, imageY, SIGNAL_REACH / this.view.scale);
      kind = grip ? "change" : "draw";
    }
    this.drag = { kind, grip, x, y, imageX, imageY, lastX: x, lastY: y, moved: false, button: event.button };
  }

  move(event) {
    const [x, y] = this.at(event);
    const { drag } = this;
    if (!drag) {
      this.tell(event);
      return;
    }
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > CLICK_SLOP;
    if (!drag.moved) return;
    this.tell(null);
    const [imageX, imageY] = this.view.toImage(x, y);
    if (drag.kind === "pan") {
      this.view.pan(x - drag.lastX, y - drag.lastY);
      this.editor.viewChanged();
    } else if (drag.kind === "change") {
      const chosen = this.editor.selected();
      const { imageWidth, imageHeight } = this.view;
      const box = draggedBox(
        chosen.box, drag.grip, imageX - drag.imageX, imageY - drag.imageY, imageWidth, imageHeight,
      );
      this.drawn = { of: chosen.id, box };
    } else {
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      const [ax, bx] = [drag.imageX, imageX].map((v) => inside(v, this.view.imageWidth)).sort((p, q) => p - q);
      const [ay, by] = [drag.imageY, imageY].map((v) => inside(v, this.view.imageHeight)).sort((p, q) => p - q);
      this.drawn = { of: null, box: [ax, ay, bx, by] };
    }
    Object.assign(drag, { lastX: x, lastY: y });
    this.paint();
  }

  release(event) {
    const { drag, drawn } = this;
    this.cancel();
    if (!drag) return;
    if (!drag.moved) this.click(drag);
    else if (drawn && drag.kind === "draw") this.editor.addNucleus(drawn.box);
    else if (drawn && drag.kind === "change") this.editor.moveBox(drawn.of, drawn.box);
    this.tell(event);
  }

  cancel() {
    this.drag = this.drawn = null;
    this.paint();
  }

  click({ imageX, imageY, button }) {
    const { editor } = this;
    if (button !== 0 || !editor.state) return;
    const under = nucleusAt(editor.state.nuclei, imageX, imageY);
    if (under === null) return;
    if (editor.tool === "signal") editor.clickSignal(under, imageX, imageY, SIGNAL_REACH / this.view.scale);
    editor.select(under.id);
  }

  /** What lies under the pointer, in words. */
  tell(event) {
    const { editor, tip, canvas } = this;
    const position = event && this.at(event);
    const point = position && this.view.toImage(...position);
    const under = point && editor.state && editor.overlay ? nucleusAt(editor.state.nuclei, ...point) : null;
    canvas.style.cursor = this.cursor(point);
    tip.hidden = !under;
    if (!under) return;
    tip.replaceChildren(...describe(under).map((line, index) => element(index ? "div" : "b", {}, line)));
    const [x, y] = position;
    tip.style.left = `${Math.min(x + 14, this.view.width - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.min(y + 16, this.view.height - tip.offsetHeight - 4)}px`;
  }

  cursor(point) {
    const { tool, state } = this.editor;
    if (tool === "signal") return "crosshair";
    if (tool !== "box" || !state?.editable) return "grab";
    const chosen = this.editor.selected();
    const grip = point && chosen && gripAt(chosen.box, ...point, SIGNAL_REACH / this.view.scale);
    return grip === "move" ? "move" : grip ? `${grip}-resize` : "crosshair";
  }
}
