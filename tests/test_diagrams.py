"""helpers.teaching.diagrams: what is drawn where, and arrows that end where they should."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.teaching import diagrams


@pytest.fixture
def ax():
    mpl.use("Agg")
    yield diagrams.canvas(4, 3)
    plt.close("all")


def test_a_unit_of_the_canvas_is_an_inch(ax):
    figure = ax.figure
    corners = ax.transData.transform([(0, 0), (4, 3)]) / figure.dpi
    np.testing.assert_allclose(corners, [(0, 0), (4, 3)], atol=1e-9)
    assert not ax.axison


def test_a_box_has_its_text_and_its_four_sides(ax):
    drawn = diagrams.box(ax, (2, 1), "norm", size=(1.0, 0.5))
    assert (drawn.top, drawn.bottom) == ((2, 1.25), (2, 0.75))
    assert (drawn.left, drawn.right) == ((1.5, 1), (2.5, 1))
    assert [text.get_text() for text in ax.texts] == ["norm"]
    extent = ax.patches[0].get_path().get_extents()
    np.testing.assert_allclose(extent.extents, (1.5, 0.75, 2.5, 1.25), atol=1e-9)


def test_an_arrow_goes_through_all_points_and_ends_at_the_last(ax):
    diagrams.arrow(ax, (0, 0), (0, 2), (1, 2))
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [(0, 0), (0, 2)])
    (head,) = ax.texts
    assert (head.xyann, head.xy) == ((0, 2), (1, 2))


def test_an_arrow_needs_two_points(ax):
    with pytest.raises(ValueError, match=r"two points.*\b1\b"):
        diagrams.arrow(ax, (0, 0))


def test_a_grid_fills_hatches_and_writes(ax):
    drawn = diagrams.grid(ax, (1, 2), [[True, False], ["0.5", "0.25"]], rows=["a", "b"])
    assert (*drawn.left, *drawn.right) == pytest.approx((1, 1.6, 1.8, 1.6))
    filled, hidden, *written = ax.patches
    assert filled.get_hatch() is None
    assert hidden.get_hatch() == "///"
    assert filled.get_facecolor() != written[0].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["0.5", "0.25", "a", "b"]
    assert (filled.get_x(), filled.get_y()) == pytest.approx((1, 1.6))  # the first row on top


def test_saving_a_canvas_warns_of_nothing(ax, tmp_path, recwarn):
    diagrams.box(ax, (2, 1), r"$d_k$", colour=None)
    diagrams.label(ax, (1, 1), "left", align="left")
    ax.figure.savefig(tmp_path / "a.png")
    # Libraries deprecate each other's parts; Python shows that to nobody but them.
    shown = [w for w in recwarn.list if not issubclass(w.category, DeprecationWarning)]
    assert not shown


@pytest.mark.parametrize(
    ("draw", "texts"),
    [
        (diagrams.normalised_axes, ["batch norm", "layer norm", "sentences, B"]),
        (diagrams.transformer_blocks, ["post-norm", "pre-norm", "self-attention"]),
        (
            diagrams.encoder_decoder,
            ["cross-attention", "memory, (B, S, d)"],
        ),
        (diagrams.multi_head_attention, ["2 attend", "concatenate\n(T, d)", "head h\n(T, $d_k$)"]),
        (diagrams.bert, ["+, layer norm", "pooler_output  (B, d)"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_schematic_figure_names_its_parts_and_keeps_within_its_frame(ax, draw, texts):
    drawn = draw()
    assert set(texts) <= {text.get_text() for text in drawn.texts}
    figure = drawn.figure
    figure.canvas.draw()
    frame = figure.bbox
    for text in drawn.texts:
        box = text.get_window_extent()
        if text.get_text():
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1, text.get_text()
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1, text.get_text()


def test_batch_norm_fills_a_column_of_each_sentence_and_layer_norm_one_row(ax):
    drawn = diagrams.normalised_axes((3, 4, 5))
    fill = diagrams.FILLS[0]
    filled = [p for p in drawn.patches if mpl.colors.same_color(p.get_facecolor(), fill)]
    left = [p for p in filled if p.get_x() < 3.5]
    assert (len(left), len(filled) - len(left)) == (3 * 4, 5)
