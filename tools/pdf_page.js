/* Makes an open page of the book ready for paper, and its solutions for the appendix.

tools/pdf.py runs it in each page; what holds for any print stands in book/_static/print.css. */
(() => {
  const article = document.querySelector("article.bd-article");

  /* Nothing but the article; what it stands in stays, for the style sheets. */
  function alone() {
    for (let element = article; element !== document.body; element = element.parentElement)
      for (const sibling of [...element.parentElement.children])
        if (sibling !== element) sibling.remove();
    const forScreens = ".headerlink, .copybtn, .deeper-toggle, .toggle-button, .zoom-button, script";
    article.querySelectorAll(forScreens).forEach((element) => element.remove());
    article.querySelectorAll("details").forEach((details) => (details.open = true));
    article.querySelectorAll(".deeper-body").forEach((body) => body.removeAttribute("hidden"));
  }

  /* The solutions, taken out of the chapter; a line in the place of each leads to the appendix. */
  function takeSolutions(name) {
    return [...article.querySelectorAll("div.solution")].map((solution) => {
      const link = document.createElement("a");
      link.href = `../solutions/${name}.html#${solution.id}`;
      link.textContent = "The solution is in the appendix.";
      const line = document.createElement("p");
      line.className = "solution-elsewhere";
      line.append(link);
      solution.replaceWith(line);
      solution.classList.remove("dropdown", "toggle", "toggle-hidden");
      return solution;
    });
  }

  /* On paper a link is words: say where it leads, unless they do. */
  function nameTargets(names) {
    const quiet =
      ".glossary-term, .imported, .sd-btn, .bibtex-citation a, :is(table, h1, h2, h3, pre, dl.py) a";
    for (const link of article.querySelectorAll("a.internal[href]")) {
      if (link.matches(quiet) || link.querySelector("code")) continue;
      const name = names[link.href] ?? names[link.href.split("#")[0]];
      const said = link.textContent.trim();
      if (!name || /\d/.test(said) || said.includes(name)) continue;
      const place = document.createElement("span");
      place.className = "print-place";
      place.textContent = ` (→ ${name})`;
      link.append(place);
    }
  }

  /* Chromium writes down where an anchor stands if a link on the same page leads to it. */
  function leadToAnchors() {
    const all = document.createElement("div");
    for (const element of article.querySelectorAll("[id]")) {
      if (element.closest("mjx-container, svg")) continue;
      const link = document.createElement("a");
      link.href = `#${element.id}`;
      all.append(link);
    }
    article.prepend(all); // at the end it would take a page where the last one is full
  }

  /* What is still wider than the paper gets smaller; a short block isn't broken over two pages. */
  function fit() {
    const width = article.clientWidth;
    for (const block of article.querySelectorAll("table, div.math, figure > img, mjx-container")) {
      const wide = Math.max(block.scrollWidth, block.getBoundingClientRect().width);
      if (wide > width + 1 && !block.parentElement.closest("table, div.math"))
        block.style.zoom = width / wide;
    }
    for (const block of article.querySelectorAll(".cell_input, .cell_output > .output, pre"))
      if (block.offsetHeight < 480) block.classList.add("whole"); // half a page
  }

  /* A heading in plain letters; of a formula, those that screen readers get. */
  function words(heading) {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll("msqrt").forEach((root) => root.prepend("√"));
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  function headings() {
    return [...article.querySelectorAll("section[id] > :is(h1, h2, h3)")].map((heading) => ({
      level: Number(heading.tagName[1]),
      title: words(heading),
      anchor: heading.parentElement.id,
    }));
  }

  let solutions = [];

  window.bookPage = {
    chapter(name, names) {
      alone();
      solutions = takeSolutions(name);
      const found = headings();
      nameTargets(names);
      fit();
      leadToAnchors();
      return {headings: found, solutions: solutions.length};
    },
    solutions(title) {
      const section = document.createElement("section");
      section.id = "solutions";
      const heading = document.createElement("h1");
      heading.textContent = title;
      section.append(heading, ...solutions);
      article.replaceChildren(section);
      fit();
      leadToAnchors();
      return {headings: [{level: 1, title, anchor: "solutions"}], solutions: 0};
    },
  };
})();
