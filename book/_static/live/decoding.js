/* Temperature, top-k and top-p on next-token distributions of the chapter's model: chapter 09. */
(() => {
  const { h, slider, choice, load, onFirstUse, piece, status } = bookLive;
  const FILE = "next-pieces.js";
  const CONTEXTS = ["prime minister tony", "the company said it had", "england won the"];
  const SHOWN = 12; // pieces
  const TEMPERATURES = Array.from({ length: 60 }, (_, n) => (n + 1) / 20); // 0.05 to 3
  const COUNTS = [1, 2, 3, 5, 10, 20, 40, 100, 200, 500, 1000, 2000, Infinity];
  const SHARES = Array.from({ length: 20 }, (_, n) => (n + 1) / 20); // 0.05 to 1

  function softmax(logits) {
    const highest = Math.max(...logits);
    const powers = logits.map((z) => Math.exp(z - highest));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  /* The probabilities of all pieces after temperature, top-k and top-p, in this order. */
  function filter(logits, temperature, k, p) {
    let z = logits.map((value) => value / temperature);
    const order = z.map((_, id) => id).sort((a, b) => z[b] - z[a]); // most probable first
    const smallest = z[order[Math.min(k, z.length) - 1]];
    z = z.map((value) => (value < smallest ? -Infinity : value));
    if (p < 1) {
      const before = softmax(z);
      let reached = 0;
      for (const id of order) {
        if (reached >= p) z[id] = -Infinity; // those before it have reached p
        reached += before[id];
      }
    }
    return softmax(z);
  }

  const percent = (value) => `${(100 * value).toFixed(value && value < 0.0995 ? 2 : 1)} %`;
  const number = (value) => value.toLocaleString("en");
  const data = () => window.bookNextPieces;
  const logitsOf = (context) => data().logits[context].map((value) => value / 1000);

  piece("decoding", () => {
    const two = (value) => value.toFixed(2);
    const change = () => show();
    const context = choice("Text so far", CONTEXTS.map((text) => `${text} …`), change);
    const temperature = slider("Temperature τ", TEMPERATURES, 1, two, change);
    const all = (k) => (k === Infinity ? "all" : String(k));
    const count = slider("Top-k", COUNTS, Infinity, all, change);
    const share = slider("Top-p", SHARES, 1, two, change);
    const told = status("Choose a text or move a slider, and the model's probabilities are loaded.");
    const result = h("div", { class: "live-result" });

    function show() {
      if (!data()) return;
      const logits = logitsOf(CONTEXTS[context.value()]);
      const names = data().pieces.split("\n");
      const before = softmax(logits);
      const after = filter(logits, temperature.value(), count.value(), share.value());
      const order = logits.map((_, id) => id).sort((a, b) => logits[b] - logits[a]);
      const row = (name, p, q) => h("tr", { class: q ? "" : "live-cut" },
        h("th", { scope: "row" }, name),
        h("td", {}, percent(p)),
        h("td", {}, q ? percent(q) : "cut off"),
        h("td", { class: "live-bar", "aria-hidden": "true" }, h("span", { style: `--share: ${q}` })));
      const rows = order.slice(0, SHOWN).map((id) => row(h("code", {}, names[id]), before[id], after[id]));
      const rest = order.slice(SHOWN);
      const sum = (values) => rest.reduce((total, id) => total + values[id], 0);
      rows.push(row(`${number(rest.length)} others`, sum(before), sum(after)));
      const column = (name) => h("th", { scope: "col" }, name);
      const head = h("tr", {}, ...["piece", "by the model", "after"].map(column),
        h("td", { "aria-hidden": "true" }));
      const caption = h("caption", {}, "The probability of the next piece, ",
        "as the model gives it and after the sliders.");
      result.replaceChildren(h("table", { class: "live-next" }, caption,
        h("thead", {}, head), h("tbody", {}, ...rows)));
      const kept = number(after.filter((probability) => probability > 0).length);
      const best = order[0];
      told.say(`${kept} of ${number(logits.length)} pieces can be drawn; `
        + `${names[best]} has ${percent(after[best])}.`);
    }

    async function start() {
      try {
        await load(FILE);
        show();
      } catch {
        told.say("The probabilities could not be loaded: reload the page.");
      }
    }

    const whole = h("div", {}, context.element, temperature.element, count.element, share.element,
      told.element, result);
    onFirstUse(whole, start);
    return [whole];
  });

  bookLive.nextPieces = async (context, temperature, k, p) => {
    await load(FILE);
    return filter(logitsOf(context), temperature, k || Infinity, p);
  };
})();
