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


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_a_draw_of_the_masking_has_labels_where_pieces_are_chosen():
    ax = diagrams.masked_draw(["the", "dog", "sat"], ["the", "[MASK]", "ran"], [False, True, True])
    assert texts(ax) == [
        *("the", "the", "–100"),
        *("dog", "[MASK]", "dog"),
        *("sat", "ran", "sat"),
        *("text", "seen", "label"),
    ]
    chosen = [patch.get_facecolor() for patch in ax.patches[1::2]]
    assert chosen[1] == chosen[2] != chosen[0]
    plt.close("all")


def test_in_writing_each_output_leads_to_the_next_input():
    words = list("abcdefg")
    ax = diagrams.teacher_forcing(words[:6], words[1:])
    assert [texts(ax).count(word) for word in words] == [2, 4, 4, 4, 4, 4, 2]
    orange = [line for line in ax.lines if line.get_color() == diagrams.PALETTE[1]]
    assert len(orange) == 5  # from each output but the last
    plt.close("all")


def test_two_residual_paths_lead_around_each_block():
    ax = diagrams.bert_and_gpt_blocks()
    assert texts(ax).count("+") == 4
    assert texts(ax).count("norm") == 4
    plt.close("all")


def test_each_query_head_reads_the_head_of_its_group():
    ax = diagrams.grouped_heads(6, [("all", 6, ""), ("some", 2, ""), ("one", 1, "")])
    assert len(ax.patches) == (6 + 6) + (6 + 2) + (6 + 1)
    starts = [round(text.xyann[0], 6) for text in ax.texts if hasattr(text, "xyann")]
    assert [len(set(starts[i : i + 6])) for i in (0, 6, 12)] == [6, 2, 1]
    plt.close("all")
