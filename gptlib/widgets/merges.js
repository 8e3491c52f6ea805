// BPE merge stepper: the merges are applied here, one by one, to the bytes of each piece.

const strict = new TextDecoder("utf-8", { fatal: true });
const MARKS = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍" };

/** A token for the eye; bytes that are no whole character are written \xe4. */
function tokenText(hex) {
  const pairs = hex.match(/../g);
  try {
    const text = strict.decode(new Uint8Array(pairs.map((x) => parseInt(x, 16))));
    return [...text].map((c) => MARKS[c] ?? (/\p{C}/u.test(c) ? `\\x${c.codePointAt(0).toString(16).padStart(2, "0")}` : c)).join("");
  } catch {
    return pairs.map((x) => `\\x${x}`).join("");
  }
}

/** Replace each neighbouring (left, right), from the left, by their union. */
function join(tokens, left, right) {
  const joined = [];
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i] === left && tokens[i + 1] === right) joined.push(left + tokens[++i]);
    else joined.push(tokens[i]);
  }
  return joined;
}

/** The pieces after 0, 1, 2, ... merges. */
function replay(pieces, rules) {
  const moments = [pieces];
  for (const [, left, right] of rules) moments.push(moments.at(-1).map((piece) => join(piece, left, right)));
  return moments;
}

function render({ model, el }) {
  const rules = model.get("rules"), moments = replay(model.get("pieces"), rules);
  const counts = moments.map((pieces) => pieces.reduce((n, piece) => n + piece.length, 0));
  const last = rules.length;
  const go = (step) => choose(model, { step: Math.min(last, Math.max(0, step)) });

  const step = slider({
    name: "step", label: "Merges applied", min: 0, max: last,
    say: (n) => `${n} of ${last}`, pick: go,
  });
  const back = button("back", "← Back", () => go(model.get("step") - 1));
  const forward = button("forward", "Forward →", () => go(model.get("step") + 1));
  const status = sayingLine();
  const chips = h("ol", { class: "gl-chips", "aria-label": "Tokens" });
  const table = tableFold("All merges that change this text", ["Merge", "Number in the vocabulary’s list", "Left", "Right", "Tokens after it"]);

  frame(model, el, "merges",
    h("div", { class: "gl-controls gl-step" }, back, step.node, forward), status, chips, table.node);

  return drawOn(model, ["step"], () => {
    const now = model.get("step");
    step.set(now);
    for (const [b, end] of [[back, 0], [forward, last]]) b.setAttribute("aria-disabled", String(now === end));
    const [number, left, right] = now ? rules[now - 1] : [];
    const fresh = now ? left + right : null;
    const places = moments[now].flat().filter((token) => token === fresh).length;
    status.replaceChildren(...(now
      ? [`Merge ${number + 1} of the vocabulary: `, h("code", {}, tokenText(left)), " + ",
        h("code", {}, tokenText(right)), " → ", h("code", {}, tokenText(fresh)),
        `, in ${plural(places, "place")}. ${counts[now - 1]} → ${plural(counts[now], "token")}.`]
      : [`Before any merge: ${plural(counts[0], "byte")}, each a token.`]));
    chips.replaceChildren(...moments[now].flatMap((piece, i) =>
      piece.map((token, j) => h("li", {
        class: `${i % 2 ? "gl-odd" : ""} ${token === fresh ? "gl-fresh" : ""} ${j ? "" : "gl-first"}`,
      }, tokenText(token)))));
    table.set(rules.map(([n, a, b], i) => [i + 1, n + 1, tokenText(a), tokenText(b), counts[i + 1]]), now - 1);
    echo(model, "tokens_in_browser", moments[now].flat());
  });
}

export default { render };
