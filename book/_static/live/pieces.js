/* The pieces of a sentence, by MiniLM's tokenizer: chapter 02.

BERT's normaliser, its cuts at spaces and punctuation, and WordPiece. Which characters it drops,
takes for accents, for spaces or for punctuation stands in minilm-vocabulary.js, as its library has
it: a browser knows another version of Unicode. */
(() => {
  const { h, field, load, onFirstUse, piece, status } = bookLive;
  const FILE = "minilm-vocabulary.js";
  const LONGEST = 100; // letters of a word; a longer one is unknown
  const SPECIAL = /(\[(?:PAD|UNK|CLS|SEP|MASK)\])/;
  let tokenizer = null;

  /* Whether a character is in one of the ranges [first, last, first, last, …], in order. */
  function isIn(ranges) {
    return (character) => {
      const code = character.codePointAt(0);
      let low = 0;
      let high = ranges.length / 2;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (code > ranges[2 * middle + 1]) low = middle + 1;
        else high = middle;
      }
      return low < ranges.length / 2 && code >= ranges[2 * low];
    };
  }

  function make({ vocabulary, dropped, spaces, apart, accents, punctuation }) {
    const ids = new Map(vocabulary.split("\n").map((word, id) => [word, id]));
    const is = {
      dropped: isIn(dropped),
      space: isIn(spaces),
      apart: isIn(apart),
      accent: isIn(accents),
      punctuation: isIn(punctuation),
    };

    function normalise(text) {
      const clean = [...text]
        .filter((c) => !is.dropped(c))
        .map((c) => (is.space(c) ? " " : is.apart(c) ? ` ${c} ` : c))
        .join("");
      // One character after the other: together, JavaScript treats a sigma at a word's end apart.
      return [...clean.normalize("NFD")]
        .filter((c) => !is.accent(c))
        .map((c) => c.toLowerCase())
        .join("");
    }

    function wordsOf(text) {
      const words = [""];
      for (const c of text) {
        if (is.space(c)) words.push("");
        else if (is.punctuation(c)) words.push(c, "");
        else words[words.length - 1] += c;
      }
      return words.filter((word) => word);
    }

    function segment(word) {
      const letters = [...word];
      const pieces = [];
      for (let start = 0; start < letters.length; ) {
        const mark = start ? "##" : "";
        let end = letters.length;
        while (end > start && !ids.has(mark + letters.slice(start, end).join(""))) end -= 1;
        if (end === start || letters.length > LONGEST) return ["[UNK]"];
        pieces.push(mark + letters.slice(start, end).join(""));
        start = end;
      }
      return pieces;
    }

    /* What each step makes of a text: the words, and each word's pieces. */
    function steps(text) {
      const parts = text.split(SPECIAL);
      const normalised = parts.map((part, place) => (place % 2 ? part : normalise(part)));
      const words = normalised.flatMap((part, place) => (place % 2 ? [part] : wordsOf(part)));
      const pieces = normalised.flatMap((part, place) =>
        place % 2 ? [[part]] : wordsOf(part).map(segment),
      );
      return { normalised: normalised.join(""), words, pieces };
    }

    const idsOf = (text) => steps(text).pieces.flat().map((piece) => ids.get(piece));
    return { steps, idsOf, id: (piece) => ids.get(piece) };
  }

  /* The tokenizer, when its vocabulary is there. */
  async function ready() {
    await load(FILE);
    return (tokenizer ||= make(window.bookVocabulary));
  }

  const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

  piece("pieces", () => {
    const off = { autocomplete: "off", spellcheck: "false" };
    const input = h("input", { type: "text", maxlength: 300, ...off });
    const told = status("Go into the field, and the 30,522 pieces of MiniLM's vocabulary are loaded.");
    const result = h("div", { class: "live-result" });
    input.value = "Low tides slide through Rhône deltas.";

    function row(step, ...cells) {
      return h("tr", {}, h("th", { scope: "row" }, step), h("td", {}, ...cells));
    }

    function show() {
      if (!tokenizer) return;
      const { normalised, words, pieces } = tokenizer.steps(input.value);
      const one = (text) => h("span", {}, h("code", {}, text), ` ${tokenizer.id(text)}`);
      const shown = pieces.map((word) => h("li", {}, ...word.map(one)));
      const count = pieces.flat().length;
      const table = h("table", { class: "live-steps" },
        row("normalise", normalised),
        row("pre-tokenize", words.join(" | ")),
        row("segment, look up ids", h("ul", { class: "live-pieces-list" }, ...shown)));
      result.replaceChildren(table);
      told.say(`${many(words.length, "word")}, ${many(count, "piece")}: ${pieces.flat().join(" ")}`);
    }

    async function start() {
      told.say("The vocabulary is loading.");
      try {
        await ready();
        show();
      } catch {
        told.say("The vocabulary could not be loaded: reload the page.");
      }
    }

    input.addEventListener("input", show);
    const whole = h("div", {}, field("A sentence", input), told.element, result);
    onFirstUse(whole, start);
    return [whole];
  });

  bookLive.tokenizer = ready;
})();
