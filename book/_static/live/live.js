/* What the interactive pieces share. A piece stands in a box of a chapter that has its name as a
class, `live-attention`; `_ext/live.py` loads this file and the piece's own on the pages that need
them. Without scripts, and on paper, the box says in words what it shows. */
window.bookLive = (() => {
  const own = new URL(".", document.currentScript.src).href;
  let ids = 0;

  /* An element: h("td", {class: "x"}, "text", another). A function is an event's listener. */
  function h(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  /* A control below its label, with what it says of its value. */
  function field(label, control, output = "") {
    control.id = `live-${(ids += 1)}`;
    return h("p", { class: "live-field" }, h("label", { for: control.id }, label), control, output);
  }

  /* A slider over steps: each has a number and the words for it. */
  function slider(label, values, start, words, changed) {
    const value = () => values[input.valueAsNumber];
    const shown = h("span", { class: "live-value", "aria-hidden": "true" });
    const input = h("input", { type: "range", min: 0, max: values.length - 1, step: 1 });
    function show() {
      shown.textContent = words(value());
      input.setAttribute("aria-valuetext", words(value()));
    }
    input.value = values.indexOf(start);
    input.addEventListener("input", () => (show(), changed()));
    show();
    return { value, element: field(label, input, shown) };
  }

  /* A choice among texts; its value is the number of the one chosen. */
  function choice(label, texts, changed) {
    const options = texts.map((text, number) => h("option", { value: number }, text));
    const select = h("select", { change: () => changed() }, ...options);
    return { value: () => Number(select.value), element: field(label, select) };
  }

  /* A line that a screen reader reads out when it has rested for a moment; what it says at first,
  before anybody has asked, isn't read out. */
  function status(text) {
    const element = h("p", { class: "live-status" }, text);
    let timer = 0;
    return {
      element,
      say(text) {
        clearTimeout(timer);
        element.setAttribute("role", "status");
        timer = setTimeout(() => (element.textContent = text), 400);
      },
    };
  }

  /* Load a script beside this one, once. A script and not JSON, for a page opened as a file. */
  const loaded = {};
  function load(name) {
    return (loaded[name] ||= new Promise((resolve, reject) => {
      const script = h("script", { src: own + name, load: resolve });
      script.addEventListener("error", () => {
        delete loaded[name]; // to be tried again
        reject(new Error(name));
      });
      document.head.append(script);
    }));
  }

  /* Call `use` when one of the element's controls is first used. */
  function onFirstUse(element, use) {
    for (const event of ["focusin", "pointerdown", "input"]) {
      element.addEventListener(event, use, { once: true });
    }
  }

  /* Put what `make` returns into each box of a piece. */
  function piece(name, make) {
    for (const box of document.querySelectorAll(`article .live-${name}`)) {
      for (const child of [...box.children].slice(1)) child.classList.add("live-words");
      box.append(h("div", { class: "live" }, ...make()));
    }
  }

  return { h, field, slider, choice, status, load, onFirstUse, piece };
})();
