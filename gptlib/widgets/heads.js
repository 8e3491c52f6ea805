// Attention heads: a small map to choose each head by, a large one, and one query's row as a table.

function render({ model, el }) {
  const weights = numbers(model, "weights", Float32Array);
  const tokens = model.get("tokens"), H = model.get("n_head"), T = tokens.length;
  const causal = model.get("causal");
  const weight = (head, query, key) => weights[(head * T + query) * T + key];
  const open = (query, key) => !causal || key <= query;
  const group = `head-${Math.random().toString(36).slice(2)}`;

  const radios = [...Array(H).keys()].map((head) => {
    const input = h("input", {
      type: "radio", name: group, value: head, "data-control": `head-${head}`,
      onchange: () => choose(model, { head }),
    });
    return { input, node: h("label", { class: "gl-head" }, input, thumbnail(head), h("span", {}, `Head ${head}`)) };
  });
  const query = slider({
    name: "query", label: "Query", min: 0, max: T - 1,
    say: (i) => `${i}: ${tokens[i]}`, pick: (i) => choose(model, { query: i }),
  });
  const status = sayingLine();
  const map = largeMap();
  const body = h("tbody");

  frame(model, el, "heads",
    h("div", { class: "gl-heads", role: "radiogroup", "aria-label": "Head" }, radios.map((r) => r.node)),
    h("div", { class: "gl-controls" }, query.node), status,
    h("div", { class: "gl-two" }, map.node,
      h("div", { class: "gl-scroll", tabindex: "0", role: "region", "aria-label": "Weights of the query" },
        h("table", { class: "gl-bars" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col", class: "gl-wide" }, "Weight"),
            h("th", { scope: "col", class: "gl-number" }, ""))), body))));

  function thumbnail(head) {
    const canvas = h("canvas", { width: T, height: T, "aria-hidden": "true" });
    const paint = canvas.getContext("2d");
    for (let q = 0; q < T; q++) {
      for (let k = 0; k < T; k++) {
        if (!open(q, k)) continue;
        paint.fillStyle = cividis(weight(head, q, k));
        paint.fillRect(k, q, 1, 1);
      }
    }
    return canvas;
  }

  function largeMap() {
    const longest = Math.min(9, Math.max(...tokens.map((t) => t.length)));
    const text = T <= 24 ? 12 : 9, left = Math.max(64, 28 + longest * text * 0.62), top = 28 + longest * text * 0.62;
    const cell = Math.min(36, Math.floor(((T <= 16 ? 320 : 440) - left) / T * 10) / 10), side = cell * T;
    const width = Math.max(left + side, left + 132) + 4, height = top + side + 30;
    const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "gl-map", width });
    const cells = [], names = [], hatch = `hatch-${group}`;
    node.append(svg("defs", {}, svg("pattern", { id: hatch, width: 8, height: 8, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 8, height: 8 }), svg("path", { d: "M-2 10 L10 -2" }))));
    for (let q = 0; q < T; q++) {
      names.push(svg("text", { x: left - 8, y: top + (q + 0.5) * cell, "text-anchor": "end", "dominant-baseline": "central", "font-size": text }, short(tokens[q], 9)));
      const x = left + (q + 0.5) * cell;
      node.append(names[q], svg("text", { x, y: top - 6, transform: `rotate(-90 ${x} ${top - 6})`, "dominant-baseline": "central", "font-size": text }, short(tokens[q], 9)));
      for (let k = 0; k < T; k++) {
        const name = svg("title");
        const rect = svg("rect", {
          x: left + k * cell, y: top + q * cell, width: cell - 1, height: cell - 1,
          class: open(q, k) ? null : "gl-masked", fill: open(q, k) ? null : `url(#${hatch})`, onclick: () => choose(model, { query: q }),
        }, name);
        if (open(q, k)) cells.push({ rect, name, q, k });
        node.append(rect);
      }
    }
    node.append(legend(left, top + side + 16),
      svg("text", { x: left, y: 10, class: "gl-caption" }, "key →"),
      svg("text", { x: left - 8, y: top - 8, "text-anchor": "end", class: "gl-caption" }, "query ↓"));
    const around = svg("rect", { class: "gl-chosen", x: left - 1.5, width: side + 2, height: cell + 2, rx: 2 });
    const pointer = svg("text", { class: "gl-pointer", x: 0, "dominant-baseline": "central", "font-size": 12 }, "▶");
    node.append(around, pointer);
    return {
      node,
      set(head, query) {
        for (const { rect, name, q, k } of cells) {
          rect.setAttribute("fill", cividis(weight(head, q, k)));
          name.textContent = `${tokens[q]} → ${tokens[k]}: ${weight(head, q, k).toFixed(3)}`;
        }
        names.forEach((n, q) => n.classList.toggle("gl-strong", q === query));
        around.setAttribute("y", top + query * cell - 1.5);
        pointer.setAttribute("y", top + (query + 0.5) * cell);
        node.setAttribute("aria-label", `Map of head ${head}: rows are queries, columns are keys; the row of ${tokens[query]} is chosen and listed in the table.`);
      },
    };
  }

  /** What the colours mean, from weight 0 to weight 1. */
  function legend(x, y) {
    const steps = 12, step = 6;
    return svg("g", { class: "gl-caption" },
      svg("text", { x: x - 8, y: y + 9, "text-anchor": "end" }, "weight 0"),
      [...Array(steps).keys()].map((i) => svg("rect", { x: x + i * step, y, width: step + 0.5, height: 11, fill: cividis(i / (steps - 1)) })),
      svg("text", { x: x + steps * step + 8, y: y + 9 }, "1"));
  }

  return drawOn(model, ["head", "query"], () => {
    const head = model.get("head"), q = model.get("query");
    radios.forEach((r, i) => { r.input.checked = i === head; });
    query.set(q);
    map.set(head, q);
    const row = [...Array(T).keys()].map((k) => weight(head, q, k));
    const best = row.indexOf(Math.max(...row));
    const even = Math.exp(row.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0));
    status.textContent = `In head ${head}, ${tokens[q]} (position ${q}) looks most at ${tokens[best]} (position ${best}), ` +
      `weight ${row[best].toFixed(3)}. Its weights are spread as wide as an even look at ${even.toFixed(1)} positions.`;
    body.replaceChildren(...row.map((p, k) => h("tr", { class: !open(q, k) ? "gl-cut" : k === best ? "gl-best" : "" },
      h("th", { scope: "row" }, h("span", { class: "gl-muted" }, `${k} `), short(tokens[k], 12)),
      h("td", {}, h("span", { class: "gl-track", "aria-hidden": "true" }, h("span", { class: "gl-now", style: `width:${100 * p}%` }))),
      h("td", { class: "gl-number" }, open(q, k) ? p.toFixed(3) : "hidden"))));
    echo(model, "looks_at_in_browser", best);
  });
}

export default { render };
