/* The order of what the book's search finds: the glossary's entry of that name, then pages and
sections whose titles hold all words of the query, best first, then pages whose text does, and the
package's names that merely contain a word at the end.

Sphinx's own search knows a section only by a query half as long as its title. */
(() => {
  const stemmer = new Stemmer();
  const stems = (text) => splitQuery(text.toLowerCase()).map((word) => stemmer.stemWord(word));
  const search = Search._performSearch;

  /* Results as [page, title, anchor, description, score, file]. */
  function titled(words) {
    const { alltitles, docnames, filenames, titles } = Search._index;
    const found = [];
    for (const [title, places] of Object.entries(alltitles)) {
      const held = stems(title);
      const holds = (word) => held.some((other) => other === word || other.startsWith(`${word}-`));
      if (!words.length || !words.every(holds)) continue;
      for (const [page, anchor] of places) {
        if (anchor?.startsWith("solution-")) continue;
        const whole = titles[page] === title;
        const shown = whole ? title : `${titles[page]} &gt; ${title}`;
        const score = words.length / held.length + (whole ? 0.01 : 0);
        const place = anchor === null || whole ? "" : `#${anchor}`;
        found.push([docnames[page], shown, place, null, score, filenames[page]]);
      }
    }
    return found.sort((a, b) => b[4] - a[4]);
  }

  Search._performSearch = (query, words, ...others) => {
    const rest = search(query, words, ...others).reverse(); // the best one first
    const isEntry = ([, , anchor, , score]) => /^#(term|index)-/.test(anchor) && score >= 100;
    const name = query.trim().toLowerCase();
    const isLoose = ([, title, , description]) =>
      description !== null && title.toLowerCase().split(".").pop() !== name;
    const ranked = [
      ...rest.filter(isEntry),
      ...titled([...words]),
      ...rest.filter((result) => !isEntry(result) && !isLoose(result)),
      ...rest.filter(isLoose),
    ];
    const seen = new Set();
    const first = ([page, , anchor]) => !seen.has(page + anchor) && seen.add(page + anchor);
    return ranked.filter(first).reverse();
  };
})();
