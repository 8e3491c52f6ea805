// Sampling explorer: the same arithmetic as gptlib.sampling, on scores sorted by probability.

/** Probabilities of the ranked tokens after temperature, top-k and top-p; 0 for those cut. */
function settle(ranked, temperature, topK, topP) {
  const probs = new Float64Array(ranked.length);
  if (temperature === 0) {
    probs[0] = 1;
    return probs;
  }
  const softmax = (count) => {
    let total = 0;
    for (let i = 0; i < count; i++) total += probs[i] = Math.exp((ranked[i] - ranked[0]) / temperature);
    for (let i = 0; i < count; i++) probs[i] /= total;
  };
  let kept = topK === null ? ranked.length : Math.min(topK, ranked.length);
  softmax(kept);
  if (topP < 1) {
    let mass = 0, stays = 0;
    for (; stays < kept; stays++) {
      mass += probs[stays];
      if (mass - probs[stays] >= topP) break; // those before it hold p already
    }
    probs.fill(0);
    kept = stays;
    softmax(kept);
  }
  return probs;
}

function render({ model, el }) {
  const ranked = numbers(model, "ranked", Float64Array);
  const labels = model.get("labels");
  const V = ranked.length, most = Math.min(V, 50);
  const own = settle(ranked, 1, null, 1);
  const kSaid = (k) => (k >= most + (V > most) ? "off" : String(k));

  const temperature = slider({
    name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05,
    say: (t) => (t === 0 ? "0 (greedy)" : t.toFixed(2)),
    pick: (t) => choose(model, { temperature: t }),
  });
  const topK = slider({
    name: "top-k", label: "Top-k", min: 1, max: most + (V > most), say: kSaid,
    pick: (k) => choose(model, { top_k: kSaid(k) === "off" ? null : k }),
  });
  const topP = slider({
    name: "top-p", label: "Top-p", min: 0.05, max: 1, step: 0.01,
    say: (p) => (p >= 1 ? "off" : p.toFixed(2)),
    pick: (p) => choose(model, { top_p: p }),
  });
  const status = sayingLine();
  const scale = h("p", { class: "gl-note" });
  const rows = labels.map((label) => row(label));
  const rest = V > labels.length ? row(plural(V - labels.length, "other token")) : null;
  if (rest) rest.node.classList.add("gl-rest");

  frame(model, el, "sampler",
    h("div", { class: "gl-controls" }, temperature.node, topK.node, topP.node),
    h("div", { class: "gl-bar" }, status,
      button("reset", "Reset", () => choose(model, { temperature: 1, top_k: null, top_p: 1 }))),
    h("table", { class: "gl-bars" },
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Token"),
        h("th", { scope: "col", class: "gl-wide" }, "Probability"),
        h("th", { scope: "col", class: "gl-number" }, "Model’s own"),
        h("th", { scope: "col", class: "gl-number" }, "Now"))),
      h("tbody", {}, rows.map((r) => r.node), rest && rest.node)), scale);

  function row(label) {
    const was = h("span", { class: "gl-was" }), now = h("span", { class: "gl-now" });
    const before = h("td", { class: "gl-number" }), after = h("td", { class: "gl-number" });
    const node = h("tr", {}, h("th", { scope: "row", title: label }, short(label, 18)),
      h("td", {}, h("span", { class: "gl-track", "aria-hidden": "true" }, was, now)), before, after);
    return {
      node,
      set(p, q, full) {
        was.style.width = `${(100 * p) / full}%`;
        now.style.width = `${(100 * q) / full}%`;
        before.textContent = percent(p);
        after.textContent = q > 0 ? percent(q) : "cut";
        node.classList.toggle("gl-cut", q === 0);
      },
    };
  }

  return drawOn(model, ["temperature", "top_k", "top_p"], () => {
    const [t, k, p] = ["temperature", "top_k", "top_p"].map((name) => model.get(name));
    temperature.set(t);
    topK.set(k === null ? most + (V > most) : Math.min(k, most + (V > most)));
    topP.set(p);
    const now = settle(ranked, t, k, p);
    let kept = 0, held = 0, bits = 0;
    for (let i = 0; i < V && now[i] > 0; i++, kept++) {
      held += own[i];
      bits -= now[i] * Math.log2(now[i]);
    }
    const sum = (probs) => probs.subarray(labels.length).reduce((a, b) => a + b, 0);
    const shown = [...rows.keys()].flatMap((i) => [own[i], now[i]]);
    if (rest) shown.push(sum(own), sum(now));
    const full = [0.1, 0.25, 0.5, 1].find((x) => x >= Math.max(...shown) - 1e-12) ?? 1;
    rows.forEach((r, i) => r.set(own[i], now[i], full));
    if (rest) rest.set(sum(own), sum(now), full);
    scale.textContent = `Bars: full width is ${100 * full}%. Outline: the model’s own; filled: now; hatched: cut.`;
    status.textContent = `${kept.toLocaleString("en")} of ${plural(V, "token")} ${kept === 1 ? "stays" : "stay"}. ` +
      `The model gave ${kept === 1 ? "it" : "them"} ${percent(held)}; entropy is now ${Math.abs(bits).toFixed(2)} bits.`;
    echo(model, "count_in_browser", kept);
    echo(model, "first_in_browser", now[0]);
  });
}

export default { render };
