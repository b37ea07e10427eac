// The editor's elements. Everything is made here once; afterwards only what changed is written.

const KEYS = [
  ["N →", "next nucleus"],
  ["P ←", "previous nucleus"],
  ["V", "select and pan"],
  ["S", "add or delete signals in the field"],
  ["B", "draw a box, or change the chosen one"],
  ["1", "clicks mean HER2"],
  ["2", "clicks mean CEP17"],
  ["X", "exclude, or include again"],
  ["K", "clustered, or not"],
  ["C", "counts confirmed; next nucleus"],
  ["H", "hide boxes and signals, or show them"],
  ["Z", "undo"],
  ["Y", "redo"],
  ["Q W E", "HER2, CEP17, DAPI on or off"],
  ["+ −", "zoom"],
  ["F", "whole region"],
  ["O", "one image pixel a screen pixel"],
  ["G", "zoom to the nucleus"],
  ["Enter", "save the typed counts; letters are keys there, too"],
  ["?", "this list"],
];
const SHORT = [
  ["N P", "next, previous"],
  ["1 2", "HER2, CEP17"],
  ["S", "signals"],
  ["B", "box"],
  ["X", "exclude"],
  ["K", "clustered"],
  ["C", "confirm"],
  ["Z Y", "undo, redo"],
  ["F G", "whole, nucleus"],
  ["H", "hide marks"],
  ["?", "all keys"],
];
const TOOLS = [
  ["select", "Select", "Click chooses a nucleus, dragging pans (V)"],
  ["signal", "Signals", "Click adds a signal to the nucleus under the pointer, a click on a signal deletes it (S)"],
  ["box", "Box", "Drag round a missed nucleus to add it; drag the chosen box or its handles to change it (B)"],
];
const ORDERS = [
  ["doubt", "sort: doubtful first"],
  ["clustered", "sort: clustered first"],
  ["edited", "sort: edited first"],
  ["left", "sort: not scored first"],
  ["id", "sort: by number"],
];

const button = (part, label, title, text = label, extra = {}) =>
  element("button", { type: "button", "data-part": part, "aria-label": label, title, ...extra }, text);

const keyList = (keys) => keys.flatMap(([key, meaning]) => [element("kbd", {}, key), element("span", {}, meaning)]);

function channelRow(name) {
  const slider = (what, from, to) =>
    element("input", {
      type: "range", min: from, max: to, step: 0.05, ".value": 1,
      "data-look": `${name}-${what}`, "aria-label": `${NAMES[name]} ${what}`,
    });
  return [element("b", {}, NAMES[name]), slider("brightness", 0.3, 5), slider("contrast", 0.5, 4)];
}

function stepper(channel) {
  const name = NAMES[channel];
  return element(
    "div", { class: "stepper" },
    element(
      "div", { class: "name" },
      element("span", { "aria-hidden": "true" }, name),
      element("span", { class: "faint", "data-part": `ai-${channel}` }),
    ),
    element(
      "div", { class: "row" },
      button(`less-${channel}`, `One ${name} less`, "One less", "−", { "data-edit": true }),
      element("input", {
        // A text: a field for numbers drops letters without a word, so that 1e2 and abc could not be refused as typed.
        type: "text", role: "spinbutton", "aria-valuemin": 0, inputmode: "numeric", autocomplete: "off",
        "data-part": `count-${channel}`, "aria-label": name, "data-edit": true,
      }),
      button(`more-${channel}`, `One ${name} more`, "One more", "+", { "data-edit": true }),
    ),
    element("div", { class: "slip", "data-part": `slip-${channel}`, role: "alert", ".hidden": true }),
  );
}

function nucleusSection() {
  const canvas = (part, label) => element("canvas", { "data-part": part, width: 8, height: 8, "aria-label": label, role: "img" });
  const split = (name) =>
    element("div", { class: "split" }, canvas(`split-${name}`, `${NAMES[name]} alone`), element("span", {}, NAMES[name]));
  return element(
    "section", { class: "nucleus", "aria-label": "Chosen nucleus" },
    element(
      "div", { class: "head" },
      button("previous", "Previous nucleus", "Previous nucleus (P or ←)", "‹"),
      element("b", { "data-part": "title" }, "Nr"),
      button("next", "Next nucleus", "Next nucleus (N or →)", "›"),
      element("span", { "data-part": "place", class: "faint" }),
      element("span", { class: "grow" }),
      element("span", { "data-part": "dots", class: "faint" }),
    ),
    element(
      "div", { class: "body" },
      canvas("large", "The chosen nucleus, large: a click adds a signal, a click on a signal deletes it"),
      element("div", { class: "splits" }, ...CHANNELS.map(split)),
      element(
        "div", { class: "controls" },
        element(
          "div", { class: "seg", role: "group", "aria-label": "A click adds" },
          button("mark-her2", "Mark HER2", "A click adds a HER2 signal (1)", "● HER2"),
          button("mark-cep17", "Mark CEP17", "A click adds a CEP17 signal (2)", "◆ CEP17"),
        ),
        stepper("her2"),
        stepper("cep17"),
      ),
    ),
    element("div", { class: "said", "data-part": "said" }),
    element(
      "div", { class: "foot" },
      element("select", { "data-part": "reason", "aria-label": "Reason to exclude", "data-edit": true }),
      button("exclude", "Exclude", "Leave the nucleus out, or count it again (X)", "Exclude", { "data-edit": true }),
      element("span", { class: "grow" }),
      button("cluster", "Clustered", "HER2 signals lie in a cluster: the count is an estimate (K)", "Clustered", {
        "data-edit": true,
      }),
      button("confirm", "Confirm", "These counts are yours; on to the next nucleus (C)", "Confirm", { "data-edit": true }),
    ),
  );
}

function toolbar() {
  return element(
    "div", { class: "bar", role: "toolbar", "aria-label": "Review tools" },
    element("div", { class: "seg", role: "group", "aria-label": "Region", "data-part": "regions" }),
    element(
      "div", { class: "seg", role: "group", "aria-label": "Tool" },
      ...TOOLS.map(([tool, label, title]) => button(`tool-${tool}`, label, title)),
    ),
    element(
      "div", { class: "seg", role: "group", "aria-label": "Channels" },
      ...CHANNELS.map((name) => button(`show-${name}`, `Show ${NAMES[name]}`, `${NAMES[name]} on or off`, NAMES[name])),
      button("adjust", "Adjust channels", "Brightness and contrast of each channel", "☼"),
    ),
    element(
      "div", { class: "seg", role: "group", "aria-label": "Zoom" },
      button("smaller", "Zoom out", "Zoom out (−)", "−"),
      button("fit", "Whole region", "Whole region (F)", "Fit"),
      button("real", "One to one", "One image pixel a screen pixel (O)", "1:1"),
      button("larger", "Zoom in", "Zoom in (+)", "+"),
    ),
    element(
      "div", { class: "seg", role: "group", "aria-label": "History" },
      button("undo", "Undo", "Undo (Z)", "↶ Undo"),
      button("redo", "Redo", "Redo (Y)", "↷ Redo"),
    ),
    element(
      "div", { class: "standing" },
      element("span", { class: "status", "data-part": "status", role: "status" }),
      element("span", { "data-part": "note" }),
    ),
  );
}

function build() {
  return element(
    "div", { class: "editor" },
    toolbar(),
    element(
      "div", { class: "main" },
      element(
        "div", { class: "field" },
        element("canvas", { "data-part": "field", tabindex: 0, role: "img", "aria-label": "Region" }),
        element("div", { class: "loading", "data-part": "loading" }, "Loading the image …"),
        element("div", { class: "tip", "data-part": "tip", ".hidden": true }),
        element(
          "div", { class: "panel", "data-part": "adjusting", ".hidden": true, role: "group", "aria-label": "Adjust channels" },
          element("span"), element("span", {}, "Brightness"), element("span", {}, "Contrast"),
          ...CHANNELS.flatMap(channelRow),
          button("plain", "As recorded", "Brightness and contrast as recorded"),
        ),
        element("div", { class: "panel keys", "data-part": "help", ".hidden": true }, ...keyList(KEYS)),
        element(
          "div", { class: "refused", "data-part": "refused", role: "alert", ".hidden": true },
          element("span", { "data-part": "why" }),
          button("dismiss", "Dismiss", "Dismiss", "Understood"),
        ),
        element("div", { class: "legend", "data-part": "legend" }),
      ),
      element(
        "div", { class: "side" },
        element("div", { class: "cards", "data-part": "cards", "aria-live": "polite" }),
        nucleusSection(),
      ),
      element(
        "section", { class: "gallery", "aria-label": "All nuclei" },
        element(
          "div", { class: "head" },
          element("span", { "data-part": "summary" }),
          element(
            "select", { "data-part": "order", "aria-label": "Order of the nuclei" },
            ...ORDERS.map(([value, label]) => element("option", { value }, label)),
          ),
        ),
        element("div", { class: "tiles", "data-part": "tiles" }),
      ),
    ),
    element("div", { class: "line keys", "aria-hidden": "true" }, ...keyList(SHORT)),
  );
}
