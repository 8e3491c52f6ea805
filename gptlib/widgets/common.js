// Parts that every view uses. This file is put in front of a view's own file: no imports.

const CIVIDIS = ["#00224e", "#002e6c", "#1e3a6f", "#35456c", "#47516c", "#575d6d", "#666970",
  "#757575", "#848279", "#948e77", "#a59c74", "#b7a96e", "#c8b866", "#dbc75a", "#eed649", "#fee838"];

/** An element with attributes and children; an attribute of null or false is left out. */
function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** The frame of a view. JupyterLab's own keys are switched off inside it: arrows move sliders. */
function frame(model, el, kind, ...children) {
  const root = h("section", {
    class: "gptlib-view",
    "data-gptlib-view": kind,
    "data-lm-suppress-shortcuts": "true",
    "aria-label": model.get("label"),
    onkeydown: (event) => event.stopPropagation(),
  }, ...children);
  el.append(root);
  return root;
}

/** Store settings for Python to read; the view redraws because they changed. */
function choose(model, settings) {
  for (const [name, value] of Object.entries(settings)) model.set(name, value);
  model.save_changes();
}

/** Tell Python what was found here, so that a test can compare it with what Python finds. */
function echo(model, name, value) {
  if (JSON.stringify(model.get(name)) === JSON.stringify(value)) return;
  model.set(name, value);
  model.save_changes();
}

/** Draw now and whenever one of the traits changes, here or in Python. Returns the clean-up. */
function drawOn(model, names, draw) {
  const events = names.map((name) => `change:${name}`).join(" ");
  model.on(events, draw);
  draw();
  return () => model.off(events, draw);
}

/** A labelled slider. `say` turns its number into the words shown and read out. */
function slider({ name, label, min, max, step = 1, say = String, pick }) {
  const shown = h("output");
  const input = h("input", {
    type: "range", min, max, step, "data-control": name, "aria-label": label,
    oninput: () => pick(Number(input.value)),
  });
  const words = h("span", { class: "gl-words", "aria-hidden": "true" }, h("span", {}, label), shown);
  return {
    node: h("div", { class: "gl-slider" }, words, input),
    set(value) {
      if (Number(input.value) !== value) input.value = value;
      const share = max > min ? (value - min) / (max - min) : 0;
      input.style.setProperty("--gl-share", `${100 * Math.min(1, Math.max(0, share))}%`);
      input.setAttribute("aria-valuetext", say(value));
      shown.textContent = say(value);
    },
  };
}

function button(name, label, press) {
  return h("button", { type: "button", "data-control": name, onclick: press }, label);
}

/** One sentence on what is shown: seen by all, and read out when it changes. */
function sayingLine() {
  return h("p", { class: "gl-status", role: "status", "aria-live": "polite" });
}

/** A folded table with the same content as a picture. */
function tableFold(summary, headers) {
  const body = h("tbody");
  const node = h("details", {}, h("summary", {}, summary),
    h("div", { class: "gl-scroll", tabindex: "0", role: "region", "aria-label": summary },
      h("table", {}, h("thead", {}, h("tr", {}, headers.map((x) => h("th", { scope: "col" }, x)))), body)));
  return {
    node,
    set(rows, current = -1) {
      body.replaceChildren(...rows.map((row, i) =>
        h("tr", { "aria-current": i === current ? "true" : null },
          row.map((x, j) => h(j ? "td" : "th", j ? {} : { scope: "row" }, String(x))))));
    },
  };
}

/** Bytes from Python as numbers. */
function numbers(model, name, Kind) {
  const data = model.get(name);
  return new Kind(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
}

/** The colour of a weight between 0 and 1. */
function cividis(weight) {
  const place = Math.min(1, Math.max(0, weight)) * (CIVIDIS.length - 1);
  const low = Math.floor(place), part = place - low;
  const [a, b] = [CIVIDIS[low], CIVIDIS[Math.min(low + 1, CIVIDIS.length - 1)]]
    .map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return `rgb(${a.map((x, i) => Math.round(x + part * (b[i] - x))).join(",")})`;
}

const percent = (p) => (p > 0 && p < 0.0005 ? "< 0.1%" : `${(100 * p).toFixed(1)}%`);
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
