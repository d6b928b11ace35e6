"""What axe finds wrong with an open page by WCAG 2.2, levels A and AA, in light and in dark.

axe stands in `vendor/axe-core`, with its version. It finds what a program can find, about a third
of what the standard asks for; the keyboard, the previews and the folds have tests of their own.
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
    everything = {
        "runOnly": {"type": "tag", "values": LEVELS},
        "rules": {name: {"enabled": True} for name in MORE},
    }
    before = page.evaluate("() => ({...document.documentElement.dataset})")
    colours = {"runOnly": {"type": "rule", "values": OF_COLOURS}}
    found = page.evaluate(RUN, ["light", everything, within])
    found += page.evaluate(RUN, ["dark", colours, within])
    page.evaluate("data => Object.assign(document.documentElement.dataset, data)", before)
    return found
