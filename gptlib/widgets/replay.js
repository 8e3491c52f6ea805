// A training run replayed: the loss curve with a marker, and the sample of that checkpoint.

/** About `count` round numbers between two ends. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1, size = 10 ** Math.floor(Math.log10(raw));
  const step = size * [1, 2, 5, 10].find((m) => m * size >= raw);
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-9; x += step) found.push(Number(x.toPrecision(12)));
  return found;
}

function render({ model, el }) {
  const steps = model.get("steps"), losses = model.get("losses"), samples = model.get("samples");
  const [xs, ys] = model.get("curve"), last = steps.length - 1;
  const pick = (i) => choose(model, { checkpoint: i });
  const at = slider({
    name: "checkpoint", label: "Checkpoint", min: 0, max: last,
    say: (i) => `${i + 1} of ${last + 1}, step ${steps[i].toLocaleString("en")}`, pick,
  });
  const status = sayingLine();
  const sample = h("pre", {
    tabindex: "0", role: "region", "aria-label": "Sample at this checkpoint",
    style: "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere", // JupyterLab's own rule breaks words
  });
  const table = tableFold("All checkpoints", ["Step", "Loss (nats)", "Sample begins"]);
  table.set(steps.map((s, i) => [s.toLocaleString("en"), losses[i].toFixed(3), short(samples[i].replace(/\s+/g, " ").trim(), 60)]));

  const W = 300, Ht = 232, left = 48, low = 188, right = W - 12, top = 12;
  const [x0, x1] = [Math.min(...xs, ...steps), Math.max(...xs, ...steps)];
  const [y0, y1] = [Math.min(...ys, ...losses), Math.max(...ys, ...losses)], air = (y1 - y0 || 1) * 0.06;
  const X = (x) => left + ((right - left) * (x - x0)) / (x1 - x0 || 1);
  const Y = (y) => low - ((low - top) * (y - y0 + air)) / (y1 - y0 + 2 * air || 1);
  const plumb = svg("line", { y1: top, y2: low, class: "gl-plumb" });
  const dot = svg("circle", { r: 6, class: "gl-dot" });
  const picture = svg("svg", { viewBox: `0 0 ${W} ${Ht}`, role: "img", class: "gl-plot" },
    ticks(y0 - air, y1 + air, 4).map((y) => svg("g", {}, svg("line", { x1: left, x2: right, y1: Y(y), y2: Y(y), class: "gl-grid" }),
      svg("text", { x: left - 8, y: Y(y), "text-anchor": "end", "dominant-baseline": "central" }, y))),
    ticks(x0, x1, 4).map((x) => svg("text", { x: X(x), y: low + 18, "text-anchor": "middle" }, x.toLocaleString("en"))),
    svg("line", { x1: left, x2: right, y1: low, y2: low, class: "gl-axis" }),
    svg("text", { x: (left + right) / 2, y: Ht - 6, "text-anchor": "middle" }, "step"),
    svg("text", { x: 12, y: (top + low) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + low) / 2})` }, "loss (nats)"),
    svg("polyline", { points: xs.map((x, i) => `${X(x)},${Y(ys[i])}`).join(" "), class: "gl-curve" }),
    plumb, steps.map((s, i) => svg("circle", { cx: X(s), cy: Y(losses[i]), r: 3.5, class: "gl-stop", onclick: () => pick(i) })), dot);

  frame(model, el, "replay", h("div", { class: "gl-controls" }, at.node), status,
    h("div", { class: "gl-two" }, picture, sample), table.node);

  return drawOn(model, ["checkpoint"], () => {
    const i = model.get("checkpoint");
    at.set(i);
    plumb.setAttribute("x1", X(steps[i]));
    plumb.setAttribute("x2", X(steps[i]));
    dot.setAttribute("cx", X(steps[i]));
    dot.setAttribute("cy", Y(losses[i]));
    sample.textContent = samples[i];
    status.textContent = `Step ${steps[i].toLocaleString("en")}: loss ${losses[i].toFixed(3)} nats, perplexity ${Math.exp(losses[i]).toFixed(2)}.`;
    picture.setAttribute("aria-label", `Loss curve. ${status.textContent}`);
    echo(model, "step_in_browser", steps[i]);
  });
}

export default { render };
