// What is said of a nucleus, and small helpers that make elements.

/** An element with attributes, properties (".name") and listeners ("onclick"), and its children. */
function element(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith(".")) made[name.slice(1)] = value;
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A short piece of the line that a box is drawn with. */
function lineSample({ colour, pattern, width }) {
  const sample = drawing('<svg class="sample"><path d="M0 4H34"/></svg>');
  const line = sample.firstChild;
  line.setAttribute("stroke", colour);
  line.setAttribute("stroke-width", width);
  line.setAttribute("stroke-dasharray", pattern.join(" "));
  return sample;
}

/** The outline of a tile, drawn with the line of its nucleus' state. */
const outline = () => drawing('<svg class="outline"><rect/></svg>');

function drawing(svg) {
  const holder = document.createElement("span");
  holder.innerHTML = svg;
  return holder.firstChild;
}

const count = (value) => (value === null ? "–" : String(value));

/** Both counts as the pictures of the report and the overlays have them: HER2/CEP17, with the sign of clustered HER2. */
const countsLabel = ({ her2, cep17, clustered }, sign) => `${count(her2)}${clustered ? sign : ""}/${count(cep17)}`;

function standing(nucleus) {
  const said = [nucleus.scored ? "scored" : `not scored: ${nucleus.reason}`];
  if (nucleus.unseen) said.push("include it if it is a nucleus all the same, otherwise undo");
  if (nucleus.clustered) said.push("HER2 clustered, estimated");
  if (nucleus.covered) {
    said.push("overlapped by a box drawn since: exclude or confirm it");
  } else if (nucleus.freed) {
    said.push("no longer overlapped: score it if it can be counted");
  } else if (nucleus.uncertain && !nucleus.edited) {
    const chance = nucleus.uncertainty === null ? "" : `, ${Math.round(100 * nucleus.uncertainty)} % likely miscounted`;
    said.push(`uncertain${chance}`);
  }
  return said.join(" · ");
}

function aiSaid(nucleus) {
  if (nucleus.ai === null) return "added by hand";
  return `AI: HER2 ${count(nucleus.ai.her2)} · CEP17 ${count(nucleus.ai.cep17)}`;
}

/** Lines of the note under the pointer. */
function describe(nucleus) {
  const lines = [`Nucleus ${nucleus.id}`, `HER2 ${count(nucleus.her2)} · CEP17 ${count(nucleus.cep17)}`];
  if (nucleus.ai === null || nucleus.edited) lines.push(aiSaid(nucleus));
  lines.push(standing(nucleus));
  return lines;
}

/** One line for a screen reader and the gallery. */
const named = (nucleus) =>
  `Nucleus ${nucleus.id}: HER2 ${count(nucleus.her2)}, CEP17 ${count(nucleus.cep17)}, ${standing(nucleus)}` +
  (nucleus.edited ? ", edited" : "");
