/* Shows what a link leads to, beside it: an entry of the glossary, a cited work, a formula.

At a mouse that rests on the link, and at the keyboard's focus. It stays while the mouse is on the
link or on it, and Escape closes it (WCAG 2.2, 1.4.13). A touch follows the link, as without this
script. A formula of the same page is copied, a cited work is the link's title; the other texts stand
in previews-data.js, which is loaded at the first of them. */
(() => {
  if (!("popover" in HTMLElement.prototype)) return;

  const root = new URL("..", document.currentScript.src).href;
  const links =
    "article a.reference:is([href*='#term-'], [href*='#equation-'], [href*='references.html#'])";
  const box = document.createElement("div");
  box.id = "preview";
  box.className = "preview";
  box.setAttribute("role", "tooltip");
  box.popover = "manual";
  let current = null; // the link whose preview is open, or about to open
  let timer = 0;
  let data = null;
  let math = null;

  function load(file) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}_static/${file}`;
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    });
  }

  async function texts() {
    await (data ||= load("previews-data.js"));
    return window.bookPreviews;
  }

  /* A page without formulas has the options of MathJax alone (see light.py). */
  async function typeset() {
    if (window.laterMathJax) {
      window.MathJax ||= window.laterMathJax;
      await (math ||= load("mathjax/tex-chtml-full.js"));
      await window.MathJax.startup.promise;
    }
    await window.MathJax?.typesetPromise?.([box]);
  }

  function formula(link) {
    const [page, anchor] = link.href.split("#");
    if (page !== location.href.split("#")[0]) return null;
    const target = document.getElementById(decodeURIComponent(anchor));
    if (!target?.matches("div.math")) return null;
    const copy = target.cloneNode(true);
    copy.querySelectorAll(".eqno, .headerlink").forEach((element) => element.remove());
    [copy, ...copy.querySelectorAll("[id]")].forEach((element) => element.removeAttribute("id"));
    copy.querySelectorAll("[tabindex]").forEach((element) => (element.tabIndex = -1));
    return copy;
  }

  function place(link) {
    const lines = [...link.getClientRects()];
    const line = lines.find((rect) => rect.bottom > 0) || lines[0];
    const { width, height } = box.getBoundingClientRect();
    const below = line.bottom + height + 8 < innerHeight || line.top - height < 8;
    box.style.left = `${Math.max(8, Math.min(line.left, innerWidth - width - 8))}px`;
    box.style.top = `${below ? line.bottom : line.top - height}px`;
  }

  async function show(link) {
    const ready = formula(link) || link.dataset.work;
    const text = ready || (await texts())[decodeURI(link.href).slice(root.length)];
    if (!text || link !== current) return;
    if (ready) box.replaceChildren(ready);
    else box.innerHTML = text;
    document.body.append(box);
    box.showPopover();
    link.setAttribute("aria-describedby", box.id);
    place(link);
    if (ready || !box.querySelector(".math")) return;
    await typeset();
    if (link === current) place(link);
  }

  function close() {
    clearTimeout(timer);
    current?.removeAttribute("aria-describedby");
    current = null;
    if (box.isConnected) box.remove();
  }

  function open(link, delay) {
    clearTimeout(timer);
    if (link === current) return;
    close();
    current = link;
    if (link.title) {
      link.dataset.work = link.title;
      link.removeAttribute("title"); // or the browser would show it as well
    }
    timer = setTimeout(() => show(link), delay);
  }

  function linkOf(event) {
    return event.target.closest?.(links);
  }

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const link = linkOf(event);
    if (link) open(link, 300);
    else if (box.contains(event.target)) clearTimeout(timer);
  });
  document.addEventListener("pointerout", (event) => {
    if (!current || event.pointerType !== "mouse") return;
    const inside = (node) => node && (current.contains(node) || box.contains(node));
    if (!inside(event.target) || inside(event.relatedTarget)) return;
    clearTimeout(timer);
    timer = setTimeout(close, 300); // time to reach the preview
  });
  document.addEventListener("focusin", (event) => {
    const link = linkOf(event);
    if (link?.matches(":focus-visible")) open(link, 0);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target === current) close();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  document.addEventListener("click", (event) => box.contains(event.target) || close());
  window.addEventListener("scroll", () => current && box.isConnected && place(current), true);
})();
