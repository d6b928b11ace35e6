/* Folds the sections that begin with "Going deeper" behind a button each.

Without this script, and on paper, all of them are open. A folded section opens at its button, at a
link that leads into it, and where the browser's own search finds something in it. */
(() => {
  const findable = "onbeforematch" in document.documentElement;

  function titleOf(heading) {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll(".section-number, .headerlink").forEach((element) => element.remove());
    return copy.textContent.trim();
  }

  function setOpen(section, open) {
    const button = section.querySelector(":scope > .deeper-toggle");
    const body = section.querySelector(":scope > .deeper-body");
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Hide this section" : "Show this section";
    if (open) body.removeAttribute("hidden");
    else body.setAttribute("hidden", findable ? "until-found" : "");
  }

  function fold(section, heading, number) {
    const body = document.createElement("div");
    body.className = "deeper-body";
    body.id = `deeper-${number}`;
    while (heading.nextSibling) body.append(heading.nextSibling);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "deeper-toggle";
    button.setAttribute("aria-controls", body.id);
    heading.id ||= `deeper-${number}-heading`;
    button.setAttribute("aria-describedby", heading.id);
    section.classList.add("deeper");
    section.append(button, body);
    setOpen(section, false);
    button.addEventListener("click", () => setOpen(section, body.hasAttribute("hidden")));
    body.addEventListener("beforematch", () => setOpen(section, true));
  }

  function openAt(hash) {
    const target = hash && document.getElementById(decodeURIComponent(hash.slice(1)));
    const section = target && target.closest("section.deeper");
    if (!section) return;
    setOpen(section, true);
    target.scrollIntoView();
  }

  const sections = document.querySelectorAll("article section");
  sections.forEach((section, number) => {
    const heading = section.querySelector(":scope > h2, :scope > h3");
    if (!heading || !titleOf(heading).startsWith("Going deeper")) return;
    if (!section.parentElement.closest("section.deeper")) fold(section, heading, number);
  });

  openAt(location.hash);
  window.addEventListener("hashchange", () => openAt(location.hash));
  // Also where the address stays as it is: a second click on the same link.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link) openAt(link.getAttribute("href"));
  });
  // A word from the book's own search is marked a little later.
  window.addEventListener("load", () => {
    document.querySelectorAll("section.deeper .highlighted").forEach((mark) => {
      setOpen(mark.closest("section.deeper"), true);
    });
    openAt(location.hash);
  });
})();
