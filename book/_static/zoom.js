/* Opens a figure of a cell's output over the page, at its own size or as wide as the window,
whichever is larger, so that on a phone it scrolls instead of being small.

At a click or a touch on the figure, or at the button behind its caption, which is one stop of the
keyboard. Escape, the button and a click beside the figure close it. */
(() => {
  if (!("showModal" in HTMLDialogElement.prototype)) return;

  const icon =
    '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M9 2h5v5M14 2L9 7M7 14H2V9M2 14l5-5"/></svg>';

  const arrows = {ArrowLeft: [-80, 0], ArrowRight: [80, 0], ArrowUp: [0, -80], ArrowDown: [0, 80]};

  /* A figure of twice the pixels says how wide it is; its own size is that, and not its pixels.
  Where all of it fits the window, it is as wide as the window lets it be. */
  function widthOf(image) {
    const own = parseFloat(image.style.width) || image.naturalWidth;
    const room = Math.min(
      innerWidth,
      (innerHeight - 88) * (image.naturalWidth / image.naturalHeight),
    );
    return Math.round(Math.max(own, room - 32));
  }

  function open(image, button) {
    const dialog = document.createElement("dialog");
    dialog.className = "zoom";
    dialog.setAttribute("aria-label", button.getAttribute("aria-label"));
    const copy = document.createElement("img");
    copy.src = image.src;
    copy.alt = image.alt;
    copy.style.width = `${widthOf(image)}px`;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "zoom-close";
    close.textContent = "Close";
    dialog.append(close, copy);
    document.body.append(dialog);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const [x, y] = arrows[event.key] || [];
      if (x === undefined) return;
      dialog.scrollBy(x, y);
      event.preventDefault();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      button.focus({preventScroll: true});
    });
    dialog.showModal();
  }

  for (const figure of document.querySelectorAll("article .cell_output figure")) {
    const image = figure.querySelector("img");
    const caption = figure.querySelector("figcaption .caption-text");
    if (!image || !caption || image.closest("a")) continue;
    const number = figure.querySelector(".caption-number")?.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoom-button";
    button.setAttribute("aria-label", `Enlarge ${number || "the figure"}`);
    button.innerHTML = icon;
    caption.append(button);
    image.classList.add("zoomable");
    for (const element of [image, button])
      element.addEventListener("click", () => open(image, button));
  }
})();
