/* Attention of the six tokens, with a temperature and masks: chapter 03. */
(() => {
  const { h, field, slider, choice, status, piece } = bookLive;
  // Query, key and value of each token: the chapter's features times its three matrices.
  const TOKENS = {
    the: [[0, 0], [-1, -1], [0, 0]],
    river: [[3, 1], [2, 0], [2, 0]],
    bank: [[2, 2], [1, 1], [1, 1]],
    was: [[0, 0], [-1, -1], [0, 0]],
    very: [[0, 0], [-1, -1], [0, 0]],
    muddy: [[1, 0], [1, 0], [1, 0]],
    savings: [[1, 3], [0, 2], [0, 2]],
    rich: [[0, 1], [0, 1], [0, 1]],
  };
  const SENTENCES = ["the river bank was very muddy", "the savings bank was very rich"];
  // Ten to the power of -1 to 1, in steps that hold 1.
  const TEMPERATURES = Array.from({ length: 41 }, (_, n) => 10 ** ((n - 20) / 20));

  /* softmax(QKᵀ / (√d_k τ)) and its product with V; a row that may look nowhere is zero. */
  function attend(words, temperature, hidden, causal) {
    const rows = words.map((word) => TOKENS[word]);
    const weights = rows.map(([query], i) => {
      const seen = (j) => j >= hidden && (!causal || j <= i);
      const scores = rows.map(([, key]) =>
        (query[0] * key[0] + query[1] * key[1]) / (Math.SQRT2 * temperature));
      const highest = Math.max(...scores.filter((_, j) => seen(j)));
      const powers = scores.map((score, j) => (seen(j) ? Math.exp(score - highest) : 0));
      const sum = powers.reduce((a, b) => a + b, 0);
      return powers.map((power) => (sum ? power / sum : 0));
    });
    const outputs = weights.map((row) =>
      [0, 1].map((d) => row.reduce((sum, weight, j) => sum + weight * rows[j][2][d], 0)));
    return { weights, outputs };
  }

  piece("attention", () => {
    const two = (value) => value.toFixed(2);
    const change = () => changed();
    const sentence = choice("Sentence", SENTENCES, change);
    const temperature = slider("Temperature τ", TEMPERATURES, 1, two, change);
    const count = (n) => (n ? `the first ${n}` : "none");
    const hidden = slider("Tokens hidden as padding", [0, 1, 2, 3, 4, 5, 6], 0, count, change);
    const causal = h("input", { type: "checkbox", change });
    const told = status("");
    const result = h("div", { class: "live-result" });

    /* Draw the table; return what "bank" takes and becomes, in words. */
    function show() {
      const words = SENTENCES[sentence.value()].split(" ");
      const tau = temperature.value();
      const { weights, outputs } = attend(words, tau, hidden.value(), causal.checked);
      const cell = (weight, i, j) => {
        const seen = j >= hidden.value() && (!causal.checked || j <= i);
        return h("td", { style: `--weight: ${weight}` }, seen ? two(weight) : "–");
      };
      const output = (i) => `(${outputs[i].map(two).join(", ")})`;
      const column = (text) => h("th", { scope: "col" }, text);
      const head = h("tr", {}, ...["query \\ key", ...words, "output"].map(column));
      const rows = words.map((word, i) => h("tr", {},
        h("th", { scope: "row" }, word),
        ...weights[i].map((weight, j) => cell(weight, i, j)),
        h("td", { class: "live-output" }, output(i))));
      const caption = h("caption", {}, "How much each query takes from each key. ",
        "The output is (water, money); a dash is what a mask hides.");
      result.replaceChildren(h("table", { class: "live-weights" }, caption,
        h("thead", {}, head), h("tbody", {}, ...rows)));
      const [first, second] = weights[2]
        .map((weight, j) => ({ weight, text: `${two(weight)} from ${words[j]}` }))
        .sort((a, b) => b.weight - a.weight);
      return first.weight
        ? `bank takes ${first.text} and ${second.text}, and becomes ${output(2)}.`
        : "bank may look nowhere, and becomes (0, 0).";
    }

    const changed = () => told.say(show());
    told.element.append(show());
    return [sentence.element, temperature.element, hidden.element,
      field("No token sees the future", causal), result, told.element];
  });

  bookLive.attend = attend;
})();
