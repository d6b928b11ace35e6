"""The first page's picture is drawn by the pinned matplotlib from the stored results."""

import pytest

from tools import first_picture
from tools.set_address import ROOT


@pytest.mark.parametrize("theme", first_picture.THEMES)
def test_the_picture_is_drawn_from_the_stored_results(theme):
    name = f"what-pretraining-buys-{theme}.svg"
    stored = (ROOT / "book" / "_static" / name).read_text("utf-8")
    assert stored == first_picture.draw(theme), "make pictures"
    page, readme = ((ROOT / file).read_text("utf-8") for file in ("book/index.md", "README.md"))
    assert f"_static/{name}" in page and f"_static/{name}" in readme
