"""What axe finds wrong with an open page by WCAG 2.2, levels A and AA, in light and in dark.

axe stands in `vendor/axe-core`, with its version. It finds what a program can find, about a third
of what the standard asks for; the keyboard, the previews and the folds have tests of their own.

A chapter has a hundred blocks of code and hundreds of formulas, which take most of the time. It
sees those that have anything new: an element, a class, an attribute or a colour, in surroundings
where no earlier one had it. The others are empty while it looks.
"""

import functools
import hashlib
from pathlib import Path

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
# Off by themselves: the size of what is clicked, and whether a name holds the words one sees.
MORE = ["target-size", "label-content-name-mismatch"]
OF_COLOURS = ["color-contrast", "link-in-text-block"]  # what dark pages may have of their own

LEAVE_OUT = """within => {
  const own = e => {
    const formula = e.tagName.startsWith('MJX-');  // which has a class for each character
    const styled = /color|background/.test(e.getAttribute('style')) ? e.getAttribute('style') : '';
    const names = e.getAttributeNames().filter(name => !['id', 'style'].includes(name));
    const scrolls = e.scrollWidth > e.clientWidth ? 'scrolls' : '';
    return [e.tagName, formula ? '' : e.getAttribute('class'), names, e.role, styled,
            e.tagName == 'PRE' ? scrolls : ''].join();
  };
  const around = e => {
    const parts = new Set();
    for (let p = e.parentElement; p; p = p.parentElement) {
      const classes = [...p.classList].filter(name => !/^tag_|^docutils$/.test(name));
      if (classes.length || !['DIV', 'SECTION', 'P', 'LI', 'UL', 'OL'].includes(p.tagName))
        parts.add([p.tagName, ...classes].join('.'));
    }
    return [...parts].sort().join();
  };
  const seen = new Set();
  window.leftOut = [];
  for (const piece of document.querySelectorAll(`${within} .highlight, ${within} mjx-container`)) {
    const place = around(piece);
    const code = piece.matches('.highlight');  // a formula has its colour from its place
    const kinds = [piece, ...piece.querySelectorAll('*')].map(
      e => code || e == piece ? `${own(e)} in ${place}` : own(e));
    if (kinds.every(kind => seen.has(kind))) window.leftOut.push([piece, [...piece.childNodes]]);
    else kinds.forEach(kind => seen.add(kind));
  }
  window.leftOut.forEach(([piece]) => piece.replaceChildren('…'));
  return window.leftOut.length;
}"""
PUT_BACK = "() => window.leftOut.forEach(([piece, content]) => piece.replaceChildren(...content))"

RUN = """async ([theme, only, within]) => {
  Object.assign(document.documentElement.dataset, {theme, mode: theme});
  // Colours that fade over would be taken for those of the theme.
  await Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => 0)));
  const part = document.querySelector(within);
  const found = await axe.run(part, {resultTypes: ['violations'], ...only});
  return found.violations.flatMap(({id, nodes}) => nodes.map(node =>
    `${theme}: ${id} at ${node.target.join(' ')}: ${node.html.slice(0, 120)}`));
}"""


@functools.cache
def axe() -> str:
    script = AXE.read_bytes()
    assert hashlib.sha256(script).hexdigest() == SHA256, f"{AXE} isn't what was looked at"
    return script.decode("utf-8")


def violations(page, within: str = "html") -> list[str]:
    """Everything that axe finds on an open page as it stands, or in a part, a line an element."""
    page.evaluate(axe())
    page.evaluate(LEAVE_OUT, within)
    # The theme lets what scrolls take the focus, 300 ms after the last change of page or window.
    page.wait_for_timeout(400)
    everything = {
        "runOnly": {"type": "tag", "values": LEVELS},
        "rules": {name: {"enabled": True} for name in MORE},
    }
    before = page.evaluate("() => ({...document.documentElement.dataset})")
    colours = {"runOnly": {"type": "rule", "values": OF_COLOURS}}
    found = page.evaluate(RUN, ["light", everything, within])
    found += page.evaluate(RUN, ["dark", colours, within])
    page.evaluate(PUT_BACK)
    page.evaluate("data => Object.assign(document.documentElement.dataset, data)", before)
    return found
