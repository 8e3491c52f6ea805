// Causal probe: one head of attention on a few tokens, computed twice, and the difference.

const times = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, x, i) => sum + x * b[i][j], 0)));

/** Attention of one head. x: (T, C). Returns (T, V). */
function attend(x, wq, wk, wv, masked) {
  const q = times(x, wq), k = times(x, wk), v = times(x, wv);
  const weights = q.map((row, i) => {
    const scores = k.map((key, j) => (masked && j > i ? -Infinity
      : key.reduce((sum, y, c) => sum + y * row[c], 0) / Math.sqrt(row.length)));
    const top = Math.max(...scores), up = scores.map((s) => Math.exp(s - top));
    const total = up.reduce((a, b) => a + b, 0);
    return up.map((u) => u / total);
  });
  return times(weights, v);
}

/** How far each output moves when `change` is added to every channel of one input. (T,) */
function moves([x, wq, wk, wv], position, change, masked) {
  const changed = x.map((row, i) => (i === position ? row.map((y) => y + change) : row));
  const before = attend(x, wq, wk, wv, masked), after = attend(changed, wq, wk, wv, masked);
  return before.map((row, i) => Math.max(...row.map((y, c) => Math.abs(after[i][c] - y))));
}

function render({ model, el }) {
  const tokens = model.get("tokens"), T = tokens.length, inputs = model.get("inputs");
  const tiny = model.get("threshold");
  const position = slider({
    name: "position", label: "Input", min: 0, max: T - 1,
    say: (i) => `${i}: ${tokens[i]}`, pick: (i) => choose(model, { position: i }),
  });
  const change = slider({
    name: "change", label: "Change by", min: -2, max: 2, step: 0.1,
    say: (d) => (d > 0 ? "+" : "") + d.toFixed(1), pick: (d) => choose(model, { change: d }),
  });
  const mask = h("input", {
    type: "checkbox", "data-control": "masked", onchange: () => choose(model, { masked: mask.checked }),
  });
  const status = sayingLine();
  const table = tableFold("The same as a table", ["Position", "Token", "Output moved by"]);

  const W = 560, gap = W / T, box = Math.min(88, gap - 10), top = 74, low = 196;
  const middle = (i) => gap * (i + 0.5);
  const lines = svg("g"), nodes = [...Array(T).keys()].map(pair);
  const picture = svg("svg", { viewBox: `0 0 ${W} 268`, role: "img", class: "gl-probe", onpointermove: drag, onpointerup: drop, onpointercancel: drop },
    svg("text", { x: 2, y: 14, class: "gl-caption" }, "Inputs: drag one up or down"),
    svg("text", { x: 2, y: 262, class: "gl-caption" }, "Outputs of attention: how far each one moved"), nodes.map((n) => n.track), lines, nodes.map((n) => n.node));
  let held = null;

  frame(model, el, "probe",
    h("div", { class: "gl-controls" }, position.node, change.node,
      h("label", { class: "gl-check" }, mask, h("span", {}, "Causal mask"))),
    status, h("div", { class: "gl-wrap" }, picture), table.node);

  function pair(i) {
    const x = middle(i) - box / 2;
    const name = () => svg("text", { x: middle(i), class: "gl-token" }, short(tokens[i], Math.max(3, Math.floor(box / 9))));
    const input = svg("g", { class: "gl-input", onpointerdown: (event) => grab(event, i) },
      svg("rect", { x, y: -18, width: box, height: 36, rx: 6 }), name());
    const level = svg("rect", { x, width: box, class: "gl-level", rx: 6 });
    const rim = svg("rect", { x, y: low, width: box, height: 44, rx: 6, class: "gl-rim" });
    const far = svg("text", { x: middle(i), y: low + 22, class: "gl-far" });
    const track = svg("line", { x1: middle(i), x2: middle(i), y1: top - 40, y2: top + 40, class: "gl-rail" });
    return { node: svg("g", {}, input, level, rim, far), input, level, rim, far, track };
  }

  function grab(event, i) {
    event.preventDefault();
    picture.setPointerCapture(event.pointerId);
    const from = model.get("position") === i ? model.get("change") : 0;
    held = { y: event.clientY, from };
    choose(model, { position: i, change: from });
  }
  function drag(event) {
    if (!held) return;
    const scale = W / picture.getBoundingClientRect().width;
    const raw = held.from - ((event.clientY - held.y) * scale) / 14;
    choose(model, { change: Math.round(10 * Math.min(2, Math.max(-2, raw))) / 10 });
  }
  function drop() { held = null; }

  return drawOn(model, ["position", "change", "masked"], () => {
    const [at, by, masked] = ["position", "change", "masked"].map((name) => model.get(name));
    position.set(at);
    change.set(by);
    mask.checked = masked;
    const moved = moves(inputs, at, by, masked), most = Math.max(...moved, tiny);
    const which = moved.map((m, i) => (m > tiny ? i : -1)).filter((i) => i >= 0);
    const up = (i) => (i === at ? -14 * by : 0);
    lines.replaceChildren(...which.map((i) => svg("line", {
      x1: middle(at), y1: top + up(at) + 18, x2: middle(i), y2: low, class: "gl-link", "stroke-width": 1 + (4 * moved[i]) / most,
    })));
    nodes.forEach((n, i) => {
      n.input.setAttribute("transform", `translate(0 ${top + up(i)})`);
      n.input.classList.toggle("gl-on", i === at);
      n.track.classList.toggle("gl-on", i === at);
      const full = moved[i] > tiny ? Math.max(3, (44 * moved[i]) / most) : 0;
      n.level.setAttribute("y", low + 44 - full);
      n.level.setAttribute("height", full);
      n.rim.classList.toggle("gl-on", moved[i] > tiny);
      n.far.textContent = moved[i] > tiny ? moved[i].toFixed(2) : "still";
    });
    const names = which.length === 0 ? "no output moves" : which.length === T ? "every output moves"
      : `${which.length === 1 ? "only output" : "outputs"} ${which.join(", ")} ${which.length === 1 ? "moves" : "move"}`;
    const past = which.some((i) => i < at);
    status.textContent = `${masked ? "With the mask: " : "Without a mask: "}${names} when input ${at} changes by ${by.toFixed(1)}.` +
      (past ? " Earlier positions have seen the future." : "");
    picture.setAttribute("aria-label", status.textContent);
    table.set(moved.map((m, i) => [i, tokens[i], m > tiny ? m.toFixed(4) : "0, still"]), at);
    echo(model, "moved_in_browser", moved);
  });
}

export default { render };
