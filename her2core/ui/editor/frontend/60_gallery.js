// All nuclei of the region as small pictures, in the order in which they are looked through.

class Gallery {
  constructor(editor, root) {
    Object.assign(this, { editor, root, tiles: new Map(), dirty: new Set() });
    this.seen = new IntersectionObserver((entries) => this.paintSeen(entries), { root, rootMargin: "80px" });
    root.addEventListener("click", (event) => {
      const tile = event.target.closest("button[data-nucleus]");
      if (tile) editor.select(Number(tile.dataset.nucleus));
    });
  }

  update() {
    const { state, order } = this.editor;
    const nuclei = new Map(state.nuclei.map((n) => [n.id, n]));
    for (const [id, tile] of this.tiles)
      if (!nuclei.has(id)) {
        this.seen.unobserve(tile);
        tile.remove();
        this.tiles.delete(id);
      }
    order.forEach((id, index) => {
      const tile = this.tiles.get(id) ?? this.make(id);
      this.dress(tile, nuclei.get(id));
      if (this.root.children[index] !== tile) this.root.insertBefore(tile, this.root.children[index] ?? null);
    });
    this.choose();
  }

  make(id) {
    const canvas = element("canvas", { width: 72, height: 72 });
    const tile = element("button", { type: "button", "data-nucleus": id, class: "tile" });
    tile.append(canvas, outline(), element("span", { class: "sign" }), element("span", { class: "counts" }));
    this.tiles.set(id, tile);
    this.dirty.add(id);
    this.seen.observe(tile);
    return tile;
  }

  dress(tile, nucleus) {
    const name = named(nucleus);
    const version = `${nucleus.box} ${nucleus.state} ${name}`;
    if (tile.dataset.version === version) return;
    const style = this.editor.state.styles[nucleus.state];
    tile.dataset.version = version;
    tile.title = name;
    tile.setAttribute("aria-label", name);
    tile.dataset.state = nucleus.state;
    tile.style.setProperty("--state", style.colour);
    const rect = tile.querySelector(".outline rect");
    rect.setAttribute("stroke-dasharray", style.pattern.join(" "));
    rect.setAttribute("stroke-width", style.width + 0.6);
    tile.querySelector(".sign").textContent = style.sign;
    tile.querySelector(".counts").textContent = countsLabel(nucleus, this.editor.state.cluster.sign);
    this.repaint([nucleus.id]);
  }

  /** The pictures of these nuclei, or of all, are out of date; those in sight are drawn again at once. */
  repaint(ids = [...this.tiles.keys()]) {
    for (const id of ids) {
      const tile = this.tiles.get(id);
      this.dirty.add(id);
      this.seen.unobserve(tile); // observing anew tells whether it is in sight
      this.seen.observe(tile);
    }
  }

  paintSeen(entries) {
    const { picture } = this.editor;
    if (!picture) return;
    for (const { isIntersecting, target } of entries) {
      const id = Number(target.dataset.nucleus);
      const nucleus = this.editor.nucleus(id);
      if (!isIntersecting || !nucleus || !this.dirty.delete(id)) continue;
      picture.drawSquare(squareRound(nucleus.box, 0.08), target.querySelector("canvas"));
    }
  }

  choose() {
    const id = this.editor.chosen;
    for (const [other, tile] of this.tiles) tile.setAttribute("aria-current", other === id ? "true" : "false");
    const tile = this.tiles.get(id);
    if (!tile) return;
    // Only the gallery scrolls; scrollIntoView would move the page too.
    const { root } = this;
    const above = tile.offsetTop; // from the top of the gallery's content: the gallery is positioned
    if (above < root.scrollTop) root.scrollTop = above - 4;
    else if (above + tile.offsetHeight > root.scrollTop + root.clientHeight)
      root.scrollTop = above + tile.offsetHeight - root.clientHeight + 4;
  }

  close() {
    this.seen.disconnect();
  }
}
